import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { Activated } from '../../extension/extension';
import type { Espalier } from '../../extension/host';
import type { JobRecord } from '../../extension/services/jobs/job-record';
import type { Operation } from '../../extension/services/jobs/operations';
import type { ModelSession } from '../../extension/services/sessions/model-session';

/** Exports of the extension under test. */
export async function activated(): Promise<Activated> {
  const extension = vscode.extensions.getExtension<Activated>('espalier.espalier');
  assert.ok(extension);
  return extension.activate();
}

/** The extension under test, activated and loaded. */
export async function activate(): Promise<Espalier> {
  const { espalier } = await activated();
  return espalier();
}

/** A path below the folder that the launcher opened. */
export function workspacePath(...parts: readonly string[]): string {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(folder);
  return join(folder.uri.fsPath, ...parts);
}

/** Copies one of test/fixtures/models into the workspace and gives its path there. */
export async function placeFixture(fixture: string, name: string): Promise<string> {
  return placeFolder(['models', fixture], name);
}

/** Copies a folder of test/fixtures into the workspace and gives its path there. */
export async function placeFolder(fixture: readonly string[], name: string): Promise<string> {
  const extension = vscode.extensions.getExtension('espalier.espalier');
  assert.ok(extension);
  const path = workspacePath(name);
  await rm(path, { recursive: true, force: true });
  await cp(join(extension.extensionPath, 'test', 'fixtures', ...fixture), path, {
    recursive: true,
  });
  return path;
}

/** Copies a file of test/fixtures into the workspace and gives its path there. */
export async function placeFile(fixture: readonly string[], name: string): Promise<string> {
  const extension = vscode.extensions.getExtension('espalier.espalier');
  assert.ok(extension);
  const path = workspacePath(name);
  await cp(join(extension.extensionPath, 'test', 'fixtures', ...fixture), path);
  return path;
}

/** Waits until `probe` gives something. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  seconds = 240,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const found = await probe();
    if (found !== undefined && found !== false) {
      return found;
    }
    await sleep(20);
  }
  throw new Error(`Waited ${seconds} s in vain for: ${what}`);
}

/** Sets espalier's settings for the workspace. */
export async function configure(values: Readonly<Record<string, unknown>>): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('espalier');
  for (const [name, value] of Object.entries(values)) {
    await configuration.update(name, value, vscode.ConfigurationTarget.Workspace);
  }
}

/** Waits until a search has told how far it is, so that there is something to interrupt. */
export async function searchUnderWay(session: ModelSession): Promise<void> {
  await until(
    'progress of the search',
    () => session.job.kind === 'running' && session.job.progress !== undefined,
  );
}

/** The job that runs on the worker, if one does. */
export function running({ jobs }: Espalier): JobRecord | undefined {
  return jobs.running.find(({ operation }) => operation !== 'export-data');
}

/** Cancels the job that runs. */
export function cancelRunning(espalier: Espalier): void {
  const job = running(espalier);
  assert.ok(job);
  espalier.jobs.cancel(job.id);
}

/** Jobs of an operation that can be resumed, the latest first. */
export const resumable = <O extends Operation>(
  { jobs }: Espalier,
  operation: O,
): readonly JobRecord<O>[] =>
  jobs.resumable.filter((job): job is JobRecord<O> => job.operation === operation);

/** Settings under which a search of a tiny model takes some seconds. */
export const longSearch = {
  'search.mode': 'naive',
  'search.budget': 'all',
  'calibration.sequences': 40,
  'calibration.length': 64,
};

/** Settings under which a search of a tiny model takes no time. */
export const shortSearch = {
  'search.mode': 'exact',
  'search.budget': '50%',
  'calibration.sequences': 2,
  'calibration.length': 32,
};

/** Text of the report that is shown of a result, by the path of what was written. */
export function reportText({ resultReports }: Espalier, key: string): string {
  const panel = resultReports.panels.find(({ session }) => session.report.key === key);
  return JSON.stringify(panel?.session.report ?? '');
}

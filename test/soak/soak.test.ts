// A long session in one extension host: jobs of all kinds, panels opened and closed. Run by scripts/soak.mjs.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import * as vscode from 'vscode';
import type { Espalier } from '../../extension/extension';
import type { Operation, RequestOf } from '../../extension/services/jobs/operations';
import { activate, until, workspacePath } from '../extension/support';
import { changedModel, kindNames, kinds, makeSources, taskOf } from '../reliability/kinds';
import type { Sources, Task } from '../reliability/kinds';
import { growth, measure } from './measure';
import type { Measure } from './measure';

const jobs = Number(process.env['ESPALIER_SOAK_JOBS'] ?? '1000');
const panels = Math.ceil(jobs / 2);
/** What is loaded on first use, and fills caches, is no growth: this share of the work comes before the first look. */
const warmUp = 0.2;
const looks = 10;

/** What may be added between the first look and the last. */
const bounds: Measure = {
  heapMegabytes: 24,
  rssMegabytes: 96,
  descriptors: 8,
  resources: 16,
  listeners: 8,
  processes: 1,
  childMegabytes: 256,
};

const say = (line: string): void => {
  appendFileSync(process.env['ESPALIER_SOAK_LOG'] ?? '', `${line}\n`);
};

describe(`a session of ${jobs} jobs and ${panels} panels`, () => {
  let espalier: Espalier;
  let sources: Sources;
  const out = workspacePath('out');
  const delay = monitorEventLoopDelay({ resolution: 1 });

  before(async () => {
    espalier = await activate();
    sources = makeSources(workspacePath('sources'), workspacePath('models', '0'));
    await run(taskOf(changedModel, sources, ''));
  });

  const run = async ({ operation, request }: Task): Promise<unknown> =>
    espalier.jobs.run({
      operation,
      name: operation,
      request: request as RequestOf<Operation>,
    });

  async function runOne(number: number): Promise<void> {
    await rm(out, { recursive: true, force: true });
    await mkdir(out);
    await run(taskOf(kinds[kindNames[number % kindNames.length] ?? 'profile'], sources, out));
  }

  const shown = (): readonly { readonly ready: boolean }[] => [
    ...espalier.heatmaps.panels,
    ...espalier.explorers.panels,
    ...espalier.compressions.panels,
  ];

  async function showOne(number: number): Promise<void> {
    const model = vscode.Uri.file(workspacePath('models', String(number % 200)));
    const commands = ['openHeatmap', 'inspectModel', 'openCompression'];
    await vscode.commands.executeCommand(
      `espalier.${commands[number % commands.length] ?? ''}`,
      model,
    );
    await until('the script of the panel', () => shown()[0]?.ready);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('no panel', () => shown().length === 0);
  }

  it('was activated in under 20 ms, with 200 models in the workspace', () => {
    const { activatedIn: milliseconds } = espalier;
    say(`activated in ${milliseconds.toFixed(1)} ms`);
    assert.ok(milliseconds < 20, `${milliseconds} ms`);
  });

  it('lists the models', async () => {
    await espalier.folders.refresh();
    assert.ok(espalier.folders.folders.length >= 200);
  });

  it('does not grow', async function () {
    this.timeout(24 * 3600 * 1000);
    let first: Measure | undefined;
    let last: Measure | undefined;
    let opened = 0;
    delay.enable();
    const total = Math.ceil(jobs * (1 + warmUp));
    for (let done = 0; done < total; done++) {
      await runOne(done);
      for (; opened < (panels * (1 + warmUp) * (done + 1)) / total; opened++) await showOne(opened);
      const isLook = (done + 1) % Math.ceil(jobs / looks) === 0;
      if (done + 1 >= jobs * warmUp && (isLook || done + 1 === total)) {
        last = await measure();
        first ??= last;
        say(`after ${done + 1} jobs and ${opened} panels: ${JSON.stringify(last)}`);
      }
    }
    delay.disable();
    const milliseconds = (nanoseconds: number): string => (nanoseconds / 1e6).toFixed(1);
    say(
      `waits of the thread: half under ${milliseconds(delay.percentile(50))} ms, 99 % under ${milliseconds(delay.percentile(99))} ms, the longest ${milliseconds(delay.max)} ms`,
    );
    assert.ok(first && last);
    const beyond = growth(first, last, bounds);
    assert.deepEqual(beyond, []);
    await rm(out, { recursive: true, force: true });
  });
});

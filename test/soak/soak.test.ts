// A long session in one extension host: jobs of all kinds, panels opened and closed. Run by scripts/soak.mjs.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import { documentNames } from '../../extension/core/document-names';
import type { DocumentId } from '../../extension/core/document-names';
import type { Espalier } from '../../extension/host';
import type { Operation, RequestOf } from '../../extension/services/jobs/operations';
import { viewTypes } from '../../extension/services/documents/document-views';
import { largeDocuments } from '../reliability/large-documents';
import { activate, activated, until, workspacePath } from '../extension/support';
import {
  changedModel,
  kindNames,
  kinds,
  reduceKind,
  makeSources,
  makeTask,
} from '../reliability/kinds';
import type { Sources, Task } from '../reliability/kinds';
import { growth, measure } from './measure';
import type { Measure } from './measure';
import { Turns } from './turns';

const jobs = Number(process.env['ESPALIER_SOAK_JOBS'] ?? '1000');
const panels = Math.ceil(jobs / 2);
/** Share of the work before the first measurement: code that is loaded on first use and caches that fill are not growth. */
const warmUp = 1 / 6;
const looks = 10;

/** Allowed growth between the first samples and the last. */
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
  const shownFolder = workspacePath('shown');
  const turns = new Turns(join('dist', 'host'));

  before(async () => {
    turns.doing = 'loading';
    turns.start();
    espalier = await activate();
    turns.stop();
    sources = makeSources(workspacePath('sources'), workspacePath('models', '0'));
    await run(makeTask(changedModel, sources, ''));
    await mkdir(shownFolder);
    for (const kind of [kinds.scores, kinds.synthesize]) {
      await run(makeTask(kind, sources, shownFolder));
    }
    for (const [id, make] of Object.entries(largeDocuments)) {
      const file = join(shownFolder, `large${documentNames[id as DocumentId].suffix}`);
      await writeFile(file, JSON.stringify(await make()));
    }
    await closeEditors();
  });

  const run = async ({ operation, request }: Task): Promise<unknown> =>
    espalier.jobs.run({
      operation,
      name: operation,
      request: request as RequestOf<Operation>,
    });

  const seconds = new Map<string, number>();

  async function runOne(number: number): Promise<void> {
    await rm(out, { recursive: true, force: true });
    await mkdir(out);
    const name = kindNames[number % kindNames.length] ?? 'profile';
    const start = performance.now();
    turns.doing = name;
    await run(makeTask(reduceKind(kinds[name]), sources, out));
    seconds.set(name, (seconds.get(name) ?? 0) + (performance.now() - start) / 1000);
  }

  const listPanels = (): readonly { readonly ready: boolean; readonly visible: boolean }[] => [
    ...espalier.heatmaps.panels,
    ...espalier.explorers.panels,
    ...espalier.compressions.panels,
    ...espalier.playgrounds.panels,
    ...espalier.dataMaps.panels,
    ...espalier.syntheses.panels,
  ];

  async function closeEditors(): Promise<void> {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('no panel', () => listPanels().length === 0);
  }

  const large = (id: DocumentId): string => join(shownFolder, `large${documentNames[id].suffix}`);
  /** Each kind of panel, of a model or of a document; large ones stay until they are filled. */
  const shown: readonly (readonly [command: string, of?: string, ...more: unknown[]])[] = [
    ...['openHeatmap', 'inspectModel', 'openCompression', 'openPlayground'].map(
      (name) => [`espalier.${name}`] as const,
    ),
    ['espalier.openDataMap', join(shownFolder, 'data.scores.json')],
    ['vscode.open', join(shownFolder, kinds.synthesize.last)],
    ['vscode.openWith', large('layerProfile'), viewTypes.layerProfile],
    ...(['sensitivity', 'scores', 'evolution'] as const).map(
      (id) => ['vscode.open', large(id)] as const,
    ),
    ['espalier.inspectModel', workspacePath('experts')],
  ];

  async function showOne(number: number): Promise<void> {
    const [command = '', of, ...more] = shown[number % shown.length] ?? [];
    const model = workspacePath('models', String(number % 200));
    turns.doing = basename(of ?? command);
    await vscode.commands.executeCommand(command, vscode.Uri.file(of ?? model), ...more);
    // A job may have shown its result meanwhile, under the panel.
    await until('the script of the panel', () =>
      listPanels().some(({ ready, visible }) => ready && visible),
    );
    await sleep(/large|experts/.test(of ?? '') ? 2000 : 0);
    await closeEditors();
  }

  after(() => {
    turns.dispose();
  });

  it('was activated in under 20 ms, with 200 models in the workspace', async () => {
    const { activatedIn: milliseconds } = await activated();
    say(`activated in ${milliseconds.toFixed(1)} ms`);
    assert.ok(milliseconds < 20, `${milliseconds} ms`);
  });

  it('lists the models', async () => {
    await espalier.folders.refresh();
    assert.ok(espalier.folders.folders.length >= 200);
  });

  it('does not grow', async function () {
    this.timeout(24 * 3600 * 1000);
    const measured: Measure[] = [];
    let opened = 0;
    turns.start();
    for (const i of shown.keys()) await showOne(i);
    let nextLook = Math.ceil(jobs * warmUp);
    for (let done = 1; done <= jobs; done++) {
      await runOne(done);
      for (; opened < (panels * done) / jobs; opened++) await showOne(opened);
      if (done >= nextLook || done === jobs) {
        nextLook += jobs / looks;
        // It collects what is left, which takes long.
        turns.stop();
        const look = await measure();
        turns.start();
        measured.push(look);
        say(`after ${done} jobs and ${opened} panels: ${JSON.stringify(look)}`);
      }
    }
    turns.stop();
    say(`seconds: ${[...seconds].map(([name, all]) => `${name} ${all.toFixed(0)}`).join(', ')}`);
    say(turns.toString());
    assert.deepEqual(growth(measured, bounds), []);
    await rm(out, { recursive: true, force: true });
  });
});

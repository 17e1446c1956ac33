import { EventEmitter, once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { RunFolder } from '../../../extension/core/datadiet/training/run-folder';
import { writeText } from '../../../extension/core/jobs/write-document';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { removeWork } from '../../../extension/services/jobs/saved-work';
import { FaultyWork, runTask } from '../../reliability/faults';
import { FaultyDisk } from '../../reliability/faulty-disk';
import type { Kind } from '../../reliability/kinds';
import { kinds, makeSources, makeTask } from '../../reliability/kinds';
import { differences, halfMade, readTree } from '../../reliability/tree';
import { fixture } from '../fixtures';
import { endedOwner } from '../jobs/owners';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const environment = {
  ...{ samples: '', version: '0', costsFolder: join(folder, 'costs'), bundles: '' },
  open: async (path: string) => models.open(path),
};

/** The shortest work that writes a model. */
const convert: Kind = {
  operation: 'convert',
  given: ({ model }, out) => ({
    ...{ model, out: join(out, 'model'), format: 'gguf', type: 'F16', quality: false },
    device: 'cpu',
  }),
};

describe('a call that writes and fails', () => {
  let work: FaultyWork;

  beforeAll(async () => {
    work = await FaultyWork.start(convert, {
      sources: makeSources(join(folder, 'sources'), fixture('llama-gqa-untied')),
      ...{ folder, environment },
    });
  });

  // `npm run faults` tries all calls of all kinds with all codes.
  it.each([
    ['open', 'EMFILE'],
    ['write', 'ENOSPC'],
    ['sync', 'EIO'],
    ['write', 'killed'],
    ['rename', 'killed'],
    ['write', 'deleted'],
  ] as const)(
    '%s with %s: reports error and place, and leaves no partial result',
    async (name, code) => {
      const at = work.calls.findIndex((call) => call.name === name);
      expect(at).toBeGreaterThanOrEqual(0);
      expect(await work.try({ at, code })).toEqual([]);
    },
  );
});

it('one of two calls in one process works on a result, the other is refused', async () => {
  const out = join(folder, 'parallel');
  const sources = makeSources(join(folder, 'parallel-sources'), fixture('llama-gqa-untied'));
  const task = makeTask(convert, sources, out);
  // The first opens its model once it has the lock, and waits there for the second to be refused.
  const events = new EventEmitter();
  const opened = once(events, 'opened');
  const refused = once(events, 'refused');
  const first = runTask(task, {
    ...environment,
    open: async (...given) => {
      events.emit('opened');
      await refused;
      return environment.open(...given);
    },
  });
  await opened;
  await expect(runTask(task, environment)).rejects.toFailWith({
    code: 'output-locked',
    file: 'model',
  });
  events.emit('refused');
  await first;
  expect(readdirSync(out)).toEqual(['model']);
});

describe('the harness', () => {
  it('counts and fails calls of modules and of open files, and does nothing once restored', async () => {
    const file = join(folder, 'counted');
    const disk = new FaultyDisk([folder], { at: 1, code: 'ENOSPC' });
    try {
      await writeFile(file, 'one');
      await expect(writeFile(file, 'two')).rejects.toThrow(/ENOSPC/);
    } finally {
      disk.restore();
    }
    await writeFile(file, 'three');
    expect(disk.calls.map(({ name }) => name)).toEqual(['writeFile', 'writeFile']);
    expect(await readFile(file, 'utf8')).toBe('three');
  });

  it('finds partial, leftover, missing and changed files', () => {
    const whole = new Map([
      ['model/', ''],
      ['model/config.json', 'a'],
      ['model/weights', 'b'],
    ]);
    const rest = { saved: ['model.journal'], last: undefined };
    const some = new Map([
      ['model/', ''],
      ['model/weights', 'c'],
      ['model.journal', 'd'],
    ]);
    expect(halfMade(some, whole, rest)).toEqual([
      'model/weights has other content',
      'model/config.json is missing',
    ]);
    expect(halfMade(new Map([['.model.espalier-partial-1/', '']]), whole, rest)).toEqual([]);
    expect(differences(new Map([...whole, ['stray', 'e']]), whole)).toEqual(['stray is left']);
  });
});

describe('leftovers of a killed process', () => {
  const owner = endedOwner();
  const own = (name: string): string => join(folder, name);

  it('does not keep a training from its folder', async () => {
    mkdirSync(own('runs'));
    writeFileSync(join(own('runs'), `.training.json.espalier-partial-${owner}`), '{');
    await RunFolder.open(own('runs'), { job: 1 }, 'refuse');
    expect(readdirSync(own('runs'))).toEqual(['training.json']);
  });

  it('is replaced by other runs, but nothing that no run has written', async () => {
    const runs = own('other.runs');
    const fill = async (): Promise<void> => {
      await RunFolder.open(runs, { job: 1 }, 'replace');
      mkdirSync(join(runs, 'el2n@3'), { recursive: true });
      for (const name of [
        'seed-0.safetensors',
        'seed-0-epoch-3.npz',
        'seed-1.json',
        'journal.jsonl',
      ])
        for (const place of [runs, join(runs, 'el2n@3')]) writeFileSync(join(place, name), name);
      writeFileSync(join(runs, '0123456789abcdef.safetensors'), '');
    };
    await fill();
    writeFileSync(join(runs, '.DS_Store'), '');
    await RunFolder.open(runs, { job: 2 }, 'replace');
    expect(readdirSync(runs)).toEqual(['training.json']);
    await fill();
    for (const name of ['thesis.docx', join('el2n@3', 'notes.txt')]) {
      const before = readTree(runs);
      writeFileSync(join(runs, name), 'mine');
      await expect(RunFolder.open(runs, { job: 2 }, 'replace')).rejects.toThrow(
        `The folder contains ${name.replace('\\', '/')}, which Espalier did not write`,
      );
      expect(readFileSync(join(runs, name), 'utf8')).toBe('mine');
      rmSync(join(runs, name));
      expect(differences(readTree(runs), before)).toEqual([]);
    }
    writeFileSync(join(runs, 'thesis.docx'), 'mine');
    await RunFolder.of(runs).remove();
    expect(readdirSync(runs)).toEqual(['thesis.docx']);
  });

  it('are removed when the document is written again, or its job is discarded', async () => {
    const partial = own(`.note.md.espalier-partial-${owner}`);
    writeFileSync(partial, 'ha');
    await writeText(own('note.md'), 'whole');
    expect(readdirSync(folder)).not.toContain(`.note.md.espalier-partial-${owner}`);
    expect(readFileSync(own('note.md'), 'utf8')).toBe('whole');

    mkdirSync(own(`.small.espalier-partial-${owner}`));
    writeFileSync(own(`.small.plan.json.espalier-partial-${owner}`), '{');
    await removeWork({ operation: 'compress', request: { out: own('small') } as never });
    expect(readdirSync(folder).filter((name) => name.startsWith('.small'))).toEqual([]);
  });

  it('are removed when the same command runs again, even if it is refused because its model exists', async () => {
    const out = own('there');
    mkdirSync(join(out, 'model'), { recursive: true });
    writeFileSync(join(out, 'model', 'config.json'), '{}');
    writeFileSync(join(out, `.model.plan.json.espalier-partial-${owner}`), '{');
    const sources = makeSources(own('sources'), fixture('llama-gqa-untied'));
    await expect(runTask(makeTask(kinds.compress, sources, out), environment)).rejects.toFailWith({
      code: 'output-exists',
      file: 'model',
    });
    expect(readdirSync(out)).toEqual(['model']);
  });
});

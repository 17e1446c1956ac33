import { unattended } from '../../../extension/core/jobs/job';
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../../extension/cli/program';
import type { Actions } from '../../../extension/cli/program';
import { fieldFlags } from '../../../extension/cli/options';
import { getPresenter } from '../../../extension/cli/presenters';
import { commonFields, runOperation } from '../../../extension/cli/run-operation';
import { Terminal } from '../../../extension/cli/terminal';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { asFlag, buildRequest } from '../../../extension/core/operations/build-request';
import type { AnyOperation, OperationContext } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import { writeFirstBlocks } from '../first-blocks';
import { runsAllCases } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { readPages } from './markdown';
import { commandsIn } from './shell';

const samples = join(import.meta.dirname, '../../../samples');
const folder = temporaryFolder();
const pages = readPages();
const known = operations as readonly unknown[] as readonly AnyOperation[];

/** Commands of `espalier` in the fences of a page, as words. */
const listCommands = (run: boolean): [string, string[]][] =>
  pages.flatMap(({ path, fences }) =>
    fences
      .filter(({ info }) => (run ? info === 'sh run' : /^(sh|bash)$/.test(info)))
      .flatMap(({ text, line }) =>
        commandsIn(text)
          .filter(([name]) => name === 'espalier')
          .map((words): [string, string[]] => [`${path}:${line}`, words.slice(1)]),
      ),
  );

describe('commands in docs', () => {
  it('exist with these flags', async () => {
    const commands = [...listCommands(false), ...listCommands(true)];
    expect(commands.length).toBeGreaterThan(40);
    for (const [place, args] of commands) {
      const program = createProgram({
        ...quiet,
        operation: (operation, _, typed) => {
          const { fields } = operation;
          const given = Object.entries(typed).filter(([key]) => Object.hasOwn(fields, key));
          buildRequest(operation, Object.fromEntries(given), { name: asFlag(fields) });
          return Promise.resolve();
        },
      });
      const problem = await program.parseAsync(args, { from: 'user' }).then(
        () => undefined,
        (error: unknown) => String(error),
      );
      expect(problem, `${place}: espalier ${args.join(' ')}`).toBeUndefined();
    }
  });

  it('in passing name commands and flags that there are', () => {
    const all = new Set([...known.flatMap(operationFlags), '--help']);
    const isWrong = (span: string): boolean => {
      if (!span.startsWith('espalier ')) {
        const [flag = ''] = span.split(/[ =]/);
        return /^--[a-z]/.test(flag) && !all.has(flag);
      }
      const text = span.slice('espalier '.length);
      const operation = known.find(({ id }) => text === id || text.startsWith(`${id} `));
      const flags = text.split(' ').filter((word) => word.startsWith('--'));
      const own = new Set(operation === undefined ? [] : operationFlags(operation));
      return operation === undefined
        ? !/^(COMMAND|completion|mcp|synthesize)\b/.test(text)
        : flags.some((flag) => !own.has(flag) && flag !== '--help');
    };
    const wrong = pages
      .filter(({ path }) => /^(docs\/|README|CHANGELOG)/.test(path))
      .flatMap(({ path, spans }) => spans.filter(isWrong).map((span) => `${path}: ${span}`));
    expect(wrong).toEqual([]);
  });

  const runnable = new Map<string, [string, string[]][]>();
  for (const command of listCommands(true)) {
    const [page = ''] = command[0].split(':');
    runnable.set(page, [...(runnable.get(page) ?? []), command]);
  }

  describe.each([...runnable])('of %s that run on the sample', (_, commands) => {
    const models = new ModelCache({ capacity: 2 });
    let printed = '';
    let root = '';
    const out = new PassThrough().on('data', (chunk: Buffer) => (printed += chunk.toString()));
    const terminal = new Terminal(out as never, new PassThrough().resume() as never);
    const context: OperationContext<unknown> = {
      ...unattended,
      environment: {
        get samples() {
          return join(root, 'samples');
        },
        version: '0',
        bundles: '',
        costsFolder: costsFolder(),
        open: async (path) => models.open(path),
      },
    };
    const actions: Actions = {
      ...quiet,
      operation: async (operation, presenter, typed) => {
        const line = { terminal, context, resumeHint: () => undefined };
        expect(await runOperation(operation, presenter, typed, line)).toBe(true);
      },
    };
    const started = process.cwd();

    beforeAll(async () => {
      root = await makeFolder();
      process.chdir(root);
    });

    afterAll(() => {
      process.chdir(started);
    });

    it.each(commands)('%s: espalier %j', async (_place, args) => {
      printed = '';
      await createProgram(actions).parseAsync([...args, ...onCpu(args)], { from: 'user' });
      expect(printed).not.toBe('');
    });
  });

  it('that run are found', () => {
    expect(runnable.size).toBeGreaterThan(5);
  });
});

const quiet = {
  version: '0',
  print: () => undefined,
  serve: () => Promise.resolve(),
  performCalls: () => undefined,
};

/** Maximum length of a sample text, in characters. */
const textLength = runsAllCases ? Number.POSITIVE_INFINITY : 20_000;

/**
 * Folder like the repository's root, as far as the commands of docs see it. The sample has fewer blocks and shorter texts
 * unless all cases are run.
 */
async function makeFolder(): Promise<string> {
  const made = await mkdtemp(join(folder, 'page-'));
  await mkdir(join(made, 'samples'));
  const sample = join(samples, 'espalier-sample');
  await (runsAllCases
    ? cp(sample, join(made, 'samples', 'espalier-sample'), { recursive: true })
    : writeFirstBlocks(sample, 3, join(made, 'samples')));
  for (const text of ['calibration.txt', 'held-out.txt']) {
    const whole = await readFile(join(samples, text), 'utf8');
    await writeFile(join(made, 'samples', text), whole.slice(0, textLength));
  }
  return made;
}

/** Trying other devices takes seconds. */
function onCpu(args: readonly string[]): string[] {
  const operation = known.find(({ id }) => args.join(' ').startsWith(id));
  // Without a size, sizes are listed and nothing is run.
  const isList = operation?.id === 'fit' && !args.includes('--size');
  return operation !== undefined && !isList && Object.hasOwn(operation.fields, 'device')
    ? ['--device', 'cpu']
    : [];
}

function operationFlags({ id, fields }: AnyOperation): string[] {
  const all = { ...fields, ...getPresenter(id as never).options, ...commonFields };
  return Object.entries(all).flatMap(([key, field]) =>
    fieldFlags(key, field).map(({ long }) => long),
  );
}

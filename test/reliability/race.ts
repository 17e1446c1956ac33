import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../fuzz/mutate';
import { runTask } from './disturb';
import type { Ending, Programs } from './disturb';
import { makeTask } from './kinds';
import type { Kind, Sources } from './kinds';
import { differences, readTree } from './tree';
import type { Tree } from './tree';

interface Options {
  readonly sources: Sources;
  readonly programs: Programs;
  readonly folder: string;
  readonly random: Random;
  readonly mark: string;
  /** Result and duration of an undisturbed run. */
  readonly expected: Tree;
  readonly milliseconds: number;
}

const never = { way: 'command line', signal: 'SIGKILL', afterMilliseconds: Infinity } as const;

/** Message of the process that is refused. */
const refusals = /Another run is working on this result|exists already/;

/**
 * Lets two command lines do the same work at once, the second a random while after the first: on the same output, where
 * one gives way with a sentence or both come to the same, and on outputs of their own.
 * @returns in words what is wrong
 */
export async function race(kind: Kind, options: Options): Promise<string[]> {
  const same = await runTwo(kind, options, ['out', 'out']);
  const own = await runTwo(kind, options, ['out', 'out-2']);
  return [
    ...same.map((one) => `two on one output: ${one}`),
    ...own.map((one) => `two on outputs of their own: ${one}`),
  ];
}

async function runTwo(
  kind: Kind,
  { sources, programs, folder, random, mark, expected, milliseconds }: Options,
  names: readonly [string, string],
): Promise<string[]> {
  const outs = [...new Set(names)].map((name) => join(folder, name));
  for (const out of outs) {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
  }
  const later = random(Math.ceil(milliseconds));
  const endings = await Promise.all(
    names.map(async (name, i) => {
      await sleep(i * later);
      const own = join(folder, `racer-${i}`);
      mkdirSync(own, { recursive: true });
      const task = makeTask(kind, sources, join(folder, name));
      return runTask(task, programs, never, { folder: own, mark });
    }),
  );
  const mayRefuse = outs.length === 1;
  const found = endings.filter((ending) => !(isDone(ending) || (mayRefuse && isRefused(ending))));
  const done = endings.filter(isDone);
  return [
    ...found.map(({ code, signal, stderr }) => `it ended with ${code ?? signal}: ${stderr.trim()}`),
    ...(done.length === 0 ? ['neither came to an end'] : []),
    ...outs.flatMap((out) => differences(readTree(out), expected)),
  ].map((one) => `${later} ms apart: ${one}`);
}

const isDone = ({ code }: Ending): boolean => code === 0;
const isRefused = ({ code, stderr }: Ending): boolean => code === 1 && refusals.test(stderr);

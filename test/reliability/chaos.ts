import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAbandoned, ownerPattern } from '../../extension/core/jobs/owner';
import { getOperation } from '../../extension/services/jobs/operations';
import { removeWork, savedWorkPaths } from '../../extension/services/jobs/saved-work';
import { pick } from '../fuzz/mutate';
import type { Random } from '../fuzz/mutate';
import { runTask, ways } from './disturb';
import type { Ending, Programs, Way } from './disturb';
import { makeTask } from './kinds';
import type { Kind, Sources } from './kinds';
import { outlived } from './processes';
import { race } from './race';
import { differences, halfMade, readTree } from './tree';
import type { Tree } from './tree';

/** Results of disturbing work of one kind. */
export interface Figures {
  /** Blows, by what was hit. */
  readonly hits: Readonly<Record<Way, number>>;
  /** Hits by SIGKILL. */
  readonly kills: Readonly<Record<Way, number>>;
  /** Times that it was resumed to the end. */
  readonly finished: number;
  /** Times that it was given up between kills. */
  readonly discarded: number;
  /** Times that two command lines did the same at once. */
  readonly races: number;
  /** Seconds of an undisturbed run. */
  readonly seconds: number;
  readonly findings: readonly string[];
}

interface Options {
  readonly sources: Sources;
  readonly programs: Programs;
  /** A folder for tasks and results. */
  readonly folder: string;
  /** Blows to each of {@link ways}. */
  readonly blows: number;
  readonly random: Random;
  readonly log?: (text: string) => void;
}

/** In turn: SIGKILL three times of five. */
const signals = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGHUP', 'SIGKILL'] as const;

const blowsPerRace = 10;

const never = { way: 'command line', signal: 'SIGKILL', afterMilliseconds: Infinity } as const;

const none = (): Record<Way, number> => ({ 'command line': 0, worker: 0, window: 0 });

/** Kills work of one kind at random moments and resumes it, and checks after each what is on disk. */
export async function disturb(kind: Kind, options: Options): Promise<Figures> {
  const { sources, programs, folder, blows: wanted, random, log } = options;
  const out = join(folder, 'out');
  const task = makeTask(kind, sources, out);
  const job = task as Parameters<typeof removeWork>[0];
  const mark = String(random(2 ** 31));
  const untouched = readTree(sources.folder, true);
  const untouchedModel = readTree(sources.model, true);
  const start = (): void => {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
  };
  start();
  const started = performance.now();
  const whole = await runTask(task, programs, never, { folder, mark });
  if (whole.code !== 0) throw new Error(`${task.operation} fails undisturbed: ${whole.stderr}`);
  let milliseconds = performance.now() - started;
  const expected = readTree(out);
  const saved = [
    ...savedWorkPaths(job),
    ...(getOperation(job.operation).saved?.leftovers?.(job.request) ?? []),
  ].map((path) => relative(out, path));
  const findings: string[] = [];
  const counts = { finished: 0, discarded: 0 };
  const [hits, kills] = [none(), none()];
  start();
  for (;;) {
    const fewest = Math.min(...Object.values(hits));
    if (fewest >= wanted) break;
    const way = pick(
      ways.filter((one) => hits[one] === fewest),
      random,
    );
    const signal = signals[hits[way] % signals.length] ?? 'SIGKILL';
    const blow = { way, signal, afterMilliseconds: random(Math.ceil(milliseconds)) };
    const began = performance.now();
    const ending = await runTask(task, programs, blow, { folder, mark });
    if (ending.code === 0 && !ending.isHit) {
      // The first run may have measured the machine too.
      milliseconds = Math.min(milliseconds, performance.now() - began);
    }
    const found = halfMade(readTree(out), expected, { saved, last: kind.last }).map(
      (one) => `half made: ${one}`,
    );
    const left = await outlived(mark);
    if (left.length > 0) found.push(`processes ${left.join()} outlived it`);
    found.push(...differences(readTree(sources.folder, true), untouched));
    found.push(...differences(readTree(sources.model, true), untouchedModel));
    const isDone = ending.code === 0 || isInTheWay(ending);
    if (ending.code === 0) {
      counts.finished += 1;
      found.push(...differences(readTree(out), expected).map((one) => `at the end ${one}`));
    } else if (isDone) {
      counts.finished += 1;
    } else if (!isExpected(ending)) {
      found.push(`it ended with ${ending.code ?? ending.signal}: ${ending.stderr.trim()}`);
    }
    if (ending.isHit) {
      hits[way] += 1;
      kills[way] += signal === 'SIGKILL' ? 1 : 0;
    }
    if (!isDone && random(4) === 0) {
      counts.discarded += 1;
      await writersEnded(out);
      await removeWork(job);
      found.push(...remains(readTree(out), expected).map((one) => `once discarded ${one}`));
      start();
    } else if (isDone || found.length > 0) {
      start();
    }
    const reported = `${blow.way}, ${blow.signal} after ${blow.afterMilliseconds} ms`;
    findings.push(...found.map((one) => `${reported}: ${one}`));
    log?.(`${reported}: ${ending.code ?? ending.signal} ${found.join('; ')}`);
  }
  const races = Math.ceil((wanted * ways.length) / blowsPerRace);
  for (let i = 0; i < races; i++) {
    const found = await race(kind, { ...options, mark, expected, milliseconds });
    findings.push(...found);
    log?.(`a race: ${found.join('; ')}`);
  }
  rmSync(out, { recursive: true, force: true });
  return { ...counts, hits, kills, races, seconds: milliseconds / 1000, findings };
}

const hidden = new RegExp(`\\.espalier-(?:partial|old)-(${ownerPattern.source})$`);

/** A process that is about to end has lost its environment, by which it is found, and is still running for others. */
async function writersEnded(out: string): Promise<void> {
  const owners = readdirSync(out).flatMap((name) => hidden.exec(name)?.[1] ?? []);
  const end = performance.now() + 5000;
  while (!owners.every((owner) => isAbandoned(owner)) && performance.now() < end) await sleep(20);
}

/** Files left after a discard, besides complete results. */
const remains = (actual: Tree, expected: Tree): string[] =>
  differences(new Map([...actual].filter(([name]) => !expected.has(name))), new Map());

/** True if it ended by the signal, or stopped because of it. */
function isExpected({ code, signal, isHit, stderr }: Ending): boolean {
  return isHit && (signal !== null || code === 143 || /ended during|was canceled/.test(stderr));
}

/** True if an earlier run was killed after writing its result, which is not overwritten. */
const isInTheWay = ({ code, stderr }: Ending): boolean =>
  code === 1 && stderr.includes('The folder exists already.');

import { mkdir } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeDocument } from '../../jobs/write-document';
import { parseJsonText } from '../../parse-json';
import { readSmallText } from '../../regular-file';
import { onnxRuntimeVersion } from '../device';

/** Work whose time on this machine is remembered. */
export interface RatedWork {
  /** Operation and settings that determine its speed; rates of other kinds don't apply. */
  readonly kind: string;
  /** Amount in any unit that the time is proportional to. */
  readonly amount: number;
  /** Number of parameters of the model. Matrices of other sizes run at another rate. */
  readonly parameters: number;
}

const ratesSchema = v.strictObject({
  format: v.literal('espalier.workrates'),
  version: v.literal(1),
  machine: v.string(),
  /** Finished runs, the latest first. */
  runs: v.array(
    v.strictObject({
      kind: v.string(),
      amount: v.pipe(v.number(), v.gtValue(0)),
      parameters: v.pipe(v.number(), v.gtValue(0)),
      seconds: v.pipe(v.number(), v.gtValue(0)),
    }),
  ),
});
type Run = v.InferOutput<typeof ratesSchema>['runs'][number];

/** Shorter runs mostly measure startup. */
const leastSeconds = 5;
/** Maximum startup time (opening sessions, reading a text), which is not part of the rate. */
const mostStartSeconds = 10;
/** Maximum factor by which an estimate may be too large; above it, no estimate is given. */
const maxError = 2;
const mostRuns = 200;
/**
 * Maximum ratios of the amount of work and of the model size at which a run still predicts the
 * rate.
 */
const [maxAmountRatio, maxSizeRatio] = [16, 4] as const;

/** Expected seconds of some work, from the most similar run on this machine; undefined if there is none. */
export async function rememberedSeconds(
  folder: string,
  work: RatedWork,
): Promise<number | undefined> {
  const [nearest] = (await readRuns(folder))
    .filter(
      ({ kind, amount, parameters }) =>
        kind === work.kind &&
        distance(amount, work.amount) <= Math.log(maxAmountRatio) &&
        distance(parameters, work.parameters) <= Math.log(maxSizeRatio),
    )
    .filter((run) => isComparable(run, work))
    .sort((a, b) => difference(a, work) - difference(b, work));
  return nearest === undefined ? undefined : (nearest.seconds * work.amount) / nearest.amount;
}

/**
 * True if a run was long enough to predict another amount of work, because startup isn't repeated
 * proportionally.
 */
function isComparable({ seconds, amount }: Run, work: RatedWork): boolean {
  const times = work.amount / amount;
  const start = Math.min(seconds, mostStartSeconds);
  return seconds * times <= maxError * (start + (seconds - start) * times);
}

/**
 * Maximum growth between estimates of the same work. Other programs can only make a run slower, so
 * that a slower run is believed only up to this factor at a time.
 */
const maxGrowth = 1.5;
/** Tasks for each core that a quiet machine does not exceed with the work's own threads. */
const quietLoad = 1.5;

/** Factor by which other processes slowed down some work; 1 on Windows, which doesn't report it. */
export function slowdown(seconds: number): number {
  const [minute = 0, fiveMinutes = 0, quarter = 0] = loadavg();
  const load = seconds < 180 ? minute : seconds < 600 ? fiveMinutes : quarter;
  return Math.max(1, load / (quietLoad * cpus().length));
}

/**
 * Name of the machine for which measured times are valid. They are measured again if any part of it
 * changes.
 */
export function machineName(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown';
  return `${process.platform} ${process.arch}, ${processor}, ${processors.length} cores, ONNX Runtime ${onnxRuntimeVersion()}`;
}

/**
 * Saves the time that some work would have taken on an idle machine, and replaces the previous time
 * of the same work.
 */
export async function rememberSeconds(
  folder: string,
  { kind, amount, parameters }: RatedWork,
  seconds: number,
): Promise<void> {
  if (!(seconds >= leastSeconds && amount > 0 && parameters > 0)) {
    return;
  }
  const isSame = (one: Run): boolean =>
    one.kind === kind && difference(one, { kind, amount, parameters }) === 0;
  const known = await readRuns(folder);
  const before = known.find(isSame)?.seconds ?? Number.POSITIVE_INFINITY;
  const quiet = seconds / slowdown(seconds);
  const run = { kind, amount, parameters, seconds: Math.min(quiet, maxGrowth * before) };
  const others = known.filter((one) => !isSame(one));
  await mkdir(folder, { recursive: true });
  await writeDocument(fileIn(folder), {
    format: 'espalier.workrates',
    version: 1,
    machine: machineName(),
    runs: [run, ...others].slice(0, mostRuns),
  } satisfies v.InferOutput<typeof ratesSchema>);
}

async function readRuns(folder: string): Promise<readonly Run[]> {
  try {
    const text = await readSmallText(fileIn(folder));
    const { machine, runs } = v.parse(ratesSchema, parseJsonText(text));
    return machine === machineName() ? runs : [];
  } catch {
    // Absent, or of another version: no known rates.
    return [];
  }
}

const fileIn = (folder: string): string => join(folder, 'rates.json');

/** Ratio of two values, in either direction, as a logarithm. */
const distance = (one: number, other: number): number => Math.abs(Math.log(one / other));

const difference = (one: RatedWork, other: RatedWork): number =>
  distance(one.amount, other.amount) + distance(one.parameters, other.parameters);

// Opens changed fixtures one after the other: fuzz.cjs FORMAT INPUTS SECONDS SEED FOLDER FIXTURES [INPUT ...]. Run by
// scripts/fuzz.mjs, which watches the messages: `input` is how many were opened, ten times a second, `finding` what is anything but a
// UserError, `isDone` comes at the end.
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../../extension/core/user-error';
import { readDirectly } from './direct-files';
import { formats } from './formats';
import type { Format } from './formats';
import { mutate, pick, seededRandom } from './mutate';
import type { Random } from './mutate';

const slowMilliseconds = 2000;
const messageMilliseconds = 100;
/** Default memory limit for opening a file: this plus twice the file size. */
const mostBytes = 64 << 20;

/** The files that are changed; none where they are made. */
function listFiles({ seeds, extension }: Format, fixtures: string): string[] {
  return typeof seeds === 'string'
    ? readdirSync(join(fixtures, seeds), { recursive: true, encoding: 'utf8' })
        .filter((name) => `/${name}`.endsWith(extension))
        .sort()
        .map((name) => join(fixtures, seeds, name))
    : [];
}

const memoryLimit = ({ most }: Format, path: string): number =>
  most ?? mostBytes + 2 * statSync(path).size;

/** Highest memory of this process since it was reset, in bytes; the highest ever where Linux doesn't tell. */
function peak(reset: boolean): number {
  try {
    if (reset) writeFileSync('/proc/self/clear_refs', '5');
    const [, kibi = ''] = /^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return Number(kibi) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

/** Opens a bomb. Unlike for small files, memory that was freed meanwhile counts. */
async function judgeBomb(format: Format, path: string): Promise<string | undefined> {
  collect();
  const before = peak(true);
  const { finding } = await measure(format, path);
  const grown = peak(false) - before;
  return (
    finding ??
    (grown > memoryLimit(format, path) ? `It took ${grown >> 20} MB at its peak.` : undefined)
  );
}

/** Error in the handling of a file, if any. */
async function judge(format: Format, path: string): Promise<string | undefined> {
  const first = await measure(format, path);
  const isLarge = (bytes: number): boolean =>
    bytes > mostBytes && bytes > memoryLimit(format, path);
  if ('finding' in first || !isLarge(first.grown)) {
    return first.finding;
  }
  // Memory left by earlier files is counted too, so try again after cleanup.
  collect();
  const again = await measure(format, path);
  return again.finding ?? (isLarge(again.grown) ? `It took ${again.grown >> 20} MB.` : undefined);
}

/** Bytes of this process when it was last looked at: looking takes as long as a small parser. */
let size = process.memoryUsage.rss();
/** Bytes after the last collection: growth could hide in what earlier files have left. */
let collected = size;

function collect(): void {
  globalThis.gc?.();
  size = process.memoryUsage.rss();
  collected = size;
}

/** Opens a file. @returns how many bytes the process has grown by, or what is wrong */
async function measure(
  format: Format,
  path: string,
): Promise<{ readonly grown: number; readonly finding?: string }> {
  if (size - collected > mostBytes) {
    collect();
  }
  const before = size;
  const start = process.cpuUsage();
  const ended = (finding?: string): { grown: number; finding?: string } => {
    size = process.memoryUsage.rss();
    return { grown: size - before, ...(finding === undefined ? {} : { finding }) };
  };
  for (const open of format.open) {
    try {
      await open(path);
    } catch (error) {
      if (!(error instanceof UserError)) {
        return ended(error instanceof Error ? (error.stack ?? error.message) : String(error));
      }
      if (!error.message.includes(dirname(path))) {
        return ended(`The message does not name the file: ${error.message.slice(0, 200)}`);
      }
    }
  }
  const { user, system } = process.cpuUsage(start);
  const milliseconds = (user + system) / 1000;
  return ended(
    milliseconds > slowMilliseconds
      ? `It took ${(milliseconds / 1000).toFixed(1)} s of computing.`
      : undefined,
  );
}

/** A file of a format: `input.onnx`, or `input/config.json`. */
const makeInput = (folder: string, { extension }: Format, name = 'input'): string =>
  join(folder, `${name}${extension}`);

/** Writes the companion files of the input. */
function prepare({ beside = {} }: Format, path: string, fixtures: string): void {
  mkdirSync(dirname(path), { recursive: true });
  if (typeof beside === 'string') {
    cpSync(join(fixtures, beside), dirname(path), { recursive: true });
    return;
  }
  for (const [name, bytes] of Object.entries(beside)) {
    writeFileSync(join(dirname(path), name), bytes);
  }
}

/** Of so many, the smallest is taken: as much goes wrong in it, in a part of the time. */
const drawn = 4;

/** Gives what is changed, two of them at a time. */
function seedPicker(format: Format, files: readonly string[]): (random: Random) => Buffer {
  const { seeds } = format;
  if (typeof seeds === 'function') {
    return seeds;
  }
  const all = typeof seeds === 'string' ? files.map((file) => readFileSync(file)) : seeds;
  return (random) =>
    Array.from({ length: drawn }, () => pick(all, random)).reduce((smallest, one) =>
      one.length < smallest.length ? one : smallest,
    );
}

async function main(): Promise<void> {
  const [name = '', most = '', seconds = '', seed = '', folder = '', fixtures = '', ...inputs] =
    process.argv.slice(2);
  const format = formats[name];
  if (format === undefined) {
    throw new RangeError(`there is no format ${name}`);
  }
  const path = makeInput(folder, format);
  prepare(format, path, fixtures);
  const remaining = new Set<string>();
  let reported = -Infinity;
  const take = async (number: number, bytes: Buffer): Promise<void> => {
    writeFileSync(path, bytes);
    if (performance.now() - reported > messageMilliseconds) {
      process.send?.({ input: number });
      reported = performance.now();
    }
    const finding = await judge(format, path);
    if (finding !== undefined) {
      process.send?.({ input: number, finding });
    }
    if (finding !== undefined && !remaining.has(finding)) {
      remaining.add(finding);
      const file = makeInput(folder, format, `finding-${number}`);
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(path, file);
    }
  };
  for (const [i, input] of inputs.entries()) {
    await take(i, readFileSync(input));
  }
  if (inputs.length > 0) {
    process.send?.({ input: inputs.length, isDone: true });
    return;
  }
  for (const [bomb, make] of Object.entries(format.bombs ?? {})) {
    process.send?.({ input: 0, bomb });
    writeFileSync(path, make());
    const finding = await judgeBomb(format, path);
    process.send?.({
      input: 0,
      bomb,
      ...(finding === undefined ? {} : { finding: `${bomb}: ${finding}` }),
    });
  }
  readDirectly();
  const files = listFiles(format, fixtures);
  // External weights of a graph.
  for (const data of files.map((file) => `${file}.data`)) {
    try {
      copyFileSync(data, join(folder, 'model.onnx.data'));
    } catch {
      // Most have none.
    }
  }
  const next = seedPicker(format, files);
  const end = performance.now() + Number(seconds) * 1000;
  const count = Number(most) / (format.fewer ?? 1);
  let number = 0;
  for (; number < count && performance.now() < end; number++) {
    const random = seededRandom(Number(seed) * 1_000_003 + number);
    const bytes = next(random);
    const other = next(random);
    const { mutateStructure, header = ({ length }) => length } = format;
    const changed =
      mutateStructure !== undefined && random(2) === 0
        ? mutateStructure(bytes, random)
        : mutate(bytes, header(bytes), other, random);
    await take(number, changed);
  }
  process.send?.({ input: number, isDone: true });
}

void main();

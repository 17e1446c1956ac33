// Opens changed fixtures one after the other: fuzz.cjs FORMAT SECONDS SEED FOLDER FIXTURES [INPUT ...]. Run by scripts/fuzz.mjs,
// which watches the messages: `input` before each file is opened, `finding` when anything but a UserError comes of it.
import { readdirSync, readFileSync, copyFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openSafetensors } from '../../extension/core/checkpoints/safetensors';
import { readGgufTokenizer } from '../../extension/core/data/gguf-tokenizer';
import { removeFromGraph } from '../../extension/core/export/onnx/onnx-surgery';
import { openGguf } from '../../extension/core/models/gguf/gguf-model';
import { OnnxLayeredModel } from '../../extension/core/models/onnx/onnx-layered-model';
import { openOnnxModel } from '../../extension/core/models/onnx/onnx-model';
import { UserError } from '../../extension/core/user-error';
import { mutate, pick, seededRandom } from './mutate';
import type { Random } from './mutate';
import { mutateGraph } from './mutate-graph';

interface Format {
  readonly extension: string;
  readonly seeds: string;
  /** Bytes at the beginning that are not weights. */
  readonly header: (bytes: Buffer) => number;
  readonly mutateStructure?: (bytes: Buffer, random: Random) => Buffer;
  /** Everything that is done with a file before weights are read. */
  readonly open: readonly ((path: string) => Promise<unknown>)[];
}

const formats: Readonly<Record<string, Format>> = {
  safetensors: {
    extension: '.safetensors',
    seeds: 'models',
    header: (bytes) => 8 + Number(bytes.readBigUInt64LE()),
    open: [openSafetensors],
  },
  gguf: {
    extension: '.gguf',
    seeds: 'gguf',
    header: () => 4096,
    open: [openGguf, readGgufTokenizer],
  },
  onnx: {
    extension: '.onnx',
    seeds: 'onnx',
    header: (bytes) => bytes.length,
    mutateStructure: mutateGraph,
    open: [
      async (path) => {
        const model = await openOnnxModel(path);
        for (const index of model.branches.keys()) {
          const graph = await removeFromGraph(model, new Set([index]));
          graph.toBytes(({ offset }) => ({ location: 'weights', offset }));
        }
      },
      async (path) => {
        const model = await OnnxLayeredModel.open(path);
        for (const index of model.summary.sublayers.keys()) {
          model.sublayer(index).part.build();
          model.skipped(index).part?.build();
        }
        model.prologue.part.build();
        model.epilogue.build();
      },
    ],
  },
};

const slowMilliseconds = 2000;
const largeBytes = 512 << 20;

function seedsOf({ seeds, extension }: Format, fixtures: string): string[] {
  return readdirSync(join(fixtures, seeds), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => join(fixtures, seeds, name));
}

/** What is wrong with how a file was taken, if anything. */
async function judge(format: Format, path: string): Promise<string | undefined> {
  const before = process.memoryUsage().rss;
  const start = process.cpuUsage();
  for (const open of format.open) {
    try {
      await open(path);
    } catch (error) {
      if (!(error instanceof UserError)) {
        return error instanceof Error ? (error.stack ?? error.message) : String(error);
      }
      if (!error.message.includes(dirname(path))) {
        return `The message does not name the file: ${error.message.slice(0, 200)}`;
      }
    }
  }
  const { user, system } = process.cpuUsage(start);
  const milliseconds = (user + system) / 1000;
  const grown = process.memoryUsage().rss - before;
  if (milliseconds > slowMilliseconds) {
    return `It took ${(milliseconds / 1000).toFixed(1)} s of computing.`;
  }
  return grown > largeBytes ? `It took ${grown >> 20} MB.` : undefined;
}

async function main(): Promise<void> {
  const [name = '', seconds = '', seed = '', folder = '', fixtures = '', ...inputs] =
    process.argv.slice(2);
  const format = formats[name];
  if (format === undefined) {
    throw new RangeError(`there is no format ${name}`);
  }
  const path = join(folder, `input${format.extension}`);
  const kept = new Set<string>();
  const take = async (number: number, bytes: Buffer): Promise<void> => {
    writeFileSync(path, bytes);
    process.send?.({ input: number });
    const finding = await judge(format, path);
    if (finding !== undefined) {
      process.send?.({ input: number, finding });
    }
    if (finding !== undefined && !kept.has(finding)) {
      kept.add(finding);
      copyFileSync(path, join(folder, `finding-${number}${format.extension}`));
    }
  };
  for (const [i, input] of inputs.entries()) {
    await take(i, readFileSync(input));
  }
  if (inputs.length > 0) {
    return;
  }
  const seeds = seedsOf(format, fixtures);
  // Weights that lie beside a graph.
  for (const data of seeds.map((file) => `${file}.data`)) {
    try {
      copyFileSync(data, join(folder, 'model.onnx.data'));
    } catch {
      // Most have none.
    }
  }
  const end = performance.now() + Number(seconds) * 1000;
  for (let number = 0; performance.now() < end; number++) {
    const random = seededRandom(Number(seed) * 1_000_003 + number);
    const bytes = readFileSync(pick(seeds, random));
    const other = readFileSync(pick(seeds, random));
    const { mutateStructure, header } = format;
    const changed =
      mutateStructure !== undefined && random(2) === 0
        ? mutateStructure(bytes, random)
        : mutate(bytes, header(bytes), other, random);
    await take(number, changed);
  }
}

void main();

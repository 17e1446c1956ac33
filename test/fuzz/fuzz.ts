// Opens changed fixtures one after the other: fuzz.cjs FORMAT SECONDS SEED FOLDER FIXTURES [INPUT ...]. Run by scripts/fuzz.mjs,
// which watches the messages: `input` before each file is opened, `finding` when anything but a UserError comes of it.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openSafetensors } from '../../extension/core/checkpoints/safetensors';
import { openDataset } from '../../extension/core/data/datasets/open-dataset';
import { readGgufTokenizer } from '../../extension/core/data/gguf-tokenizer';
import { readImage } from '../../extension/core/data/image/decode-image';
import { readNpy } from '../../extension/core/data/npy';
import { loadTokenizer } from '../../extension/core/data/tokenizer';
import { readTask } from '../../extension/core/data/tasks/task-file';
import { removeFromGraph } from '../../extension/core/export/onnx/onnx-surgery';
import { openGguf } from '../../extension/core/models/gguf/gguf-model';
import { OnnxLayeredModel } from '../../extension/core/models/onnx/onnx-layered-model';
import { openOnnxModel } from '../../extension/core/models/onnx/onnx-model';
import { readArchitecture } from '../../extension/core/models/open-model';
import { parsePlan } from '../../extension/core/plans/plan-schema';
import { UserError } from '../../extension/core/user-error';
import { planSeeds, tableSeeds } from './made-seeds';
import { mutate, pick, seededRandom } from './mutate';
import type { Random } from './mutate';
import { mutateGraph } from './mutate-graph';
import { mutateJson } from './mutate-json';

interface Format {
  /** How its files end, or what its file is called. */
  readonly extension: string;
  /** Folder of the fixtures that are changed, or what is changed where there are none. */
  readonly seeds: string | readonly Buffer[];
  /** Bytes at the beginning that are not weights; all if absent. */
  readonly header?: (bytes: Buffer) => number;
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
  config: {
    extension: '/config.json',
    seeds: 'models',
    mutateStructure: mutateJson,
    open: [async (path) => Promise.resolve(readArchitecture(readFileSync(path, 'utf8'), path))],
  },
  tokenizer: {
    extension: '/tokenizer.json',
    seeds: 'models',
    mutateStructure: mutateJson,
    open: [
      async (path) => {
        const tokenizer = await loadTokenizer(dirname(path));
        tokenizer.encode('The quick brown fox.');
      },
    ],
  },
  plan: {
    extension: '.plan.json',
    seeds: planSeeds,
    mutateStructure: mutateJson,
    open: [async (path) => Promise.resolve(parsePlan(readFileSync(path, 'utf8'), path))],
  },
  task: { extension: '.jsonl', seeds: 'tasks', open: [readTask, openDataset] },
  csv: { extension: '.csv', seeds: tableSeeds, open: [openDataset] },
  npy: { extension: '.npy', seeds: 'examples', open: [readNpy] },
  npz: { extension: '.npz', seeds: 'examples', open: [openDataset] },
  png: { extension: '.png', seeds: 'examples', open: [readImage] },
  jpeg: { extension: '.jpg', seeds: 'examples', open: [readImage] },
};

const slowMilliseconds = 2000;
const largeBytes = 512 << 20;

/** The files that are changed; none where they are made. */
function filesOf({ seeds, extension }: Format, fixtures: string): string[] {
  return typeof seeds === 'string'
    ? readdirSync(join(fixtures, seeds), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith(extension))
        .sort()
        .map((name) => join(fixtures, seeds, name))
    : [];
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

/** A file of a format: `input.onnx`, or `input/config.json`. */
const inputOf = (folder: string, { extension }: Format, name = 'input'): string =>
  join(folder, `${name}${extension}`);

async function main(): Promise<void> {
  const [name = '', seconds = '', seed = '', folder = '', fixtures = '', ...inputs] =
    process.argv.slice(2);
  const format = formats[name];
  if (format === undefined) {
    throw new RangeError(`there is no format ${name}`);
  }
  const path = inputOf(folder, format);
  mkdirSync(dirname(path), { recursive: true });
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
      const file = inputOf(folder, format, `finding-${number}`);
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(path, file);
    }
  };
  for (const [i, input] of inputs.entries()) {
    await take(i, readFileSync(input));
  }
  if (inputs.length > 0) {
    return;
  }
  const files = filesOf(format, fixtures);
  const seeds =
    typeof format.seeds === 'string' ? files.map((file) => readFileSync(file)) : format.seeds;
  // Weights that lie beside a graph.
  for (const data of files.map((file) => `${file}.data`)) {
    try {
      copyFileSync(data, join(folder, 'model.onnx.data'));
    } catch {
      // Most have none.
    }
  }
  const end = performance.now() + Number(seconds) * 1000;
  for (let number = 0; performance.now() < end; number++) {
    const random = seededRandom(Number(seed) * 1_000_003 + number);
    const bytes = pick(seeds, random);
    const other = pick(seeds, random);
    const { mutateStructure, header = ({ length }) => length } = format;
    const changed =
      mutateStructure !== undefined && random(2) === 0
        ? mutateStructure(bytes, random)
        : mutate(bytes, header(bytes), other, random);
    await take(number, changed);
  }
}

void main();

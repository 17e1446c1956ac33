import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { openSafetensors } from '../../extension/core/checkpoints/safetensors';
import { renderChat } from '../../extension/core/data/chat-template';
import { readWav } from '../../extension/core/data/audio/wav';
import { openDataset } from '../../extension/core/data/datasets/open-dataset';
import { withParquet } from '../../extension/core/data/datasets/parquet-file';
import { readGgufModel } from '../../extension/core/checkpoints/gguf-parts';
import { readGgufTokenizer } from '../../extension/core/data/gguf/gguf-tokenizer';
import { readImage } from '../../extension/core/data/image/decode-image';
import { readImageSteps } from '../../extension/core/data/image/preprocessor-config';
import { readNpy } from '../../extension/core/data/npy';
import { readTask } from '../../extension/core/data/tasks/task-file';
import { loadTokenizer } from '../../extension/core/data/tokenizer';
import {
  decode,
  encode,
  failureSchema,
  orderSchema,
  sharedSchema,
} from '../../extension/core/distribute/queue/codec';
import { documentIds, documentNames } from '../../extension/core/document-names';
import { documentTypes } from '../../extension/core/documents/document-types';
import { removeFromGraph } from '../../extension/core/export/onnx/onnx-surgery';
import { requireGgufFile } from '../../extension/core/models/gguf/gguf-file';
import { openGguf } from '../../extension/core/models/gguf/gguf-model';
import { OnnxLayeredModel } from '../../extension/core/models/onnx/onnx-layered-model';
import { openOnnxModel } from '../../extension/core/models/onnx/onnx-model';
import { parseFamily, requireFamily } from '../../extension/core/models/model-family';
import { openModelFiles } from '../../extension/core/models/open-model';
import { manifestSchema, readManifest } from '../../extension/core/pipelines/manifest-file';
import { compressionCalls } from '../../extension/protocol/compression';
import { dataMapCalls } from '../../extension/protocol/datamap';
import { explorerCalls } from '../../extension/protocol/explorer';
import { heatmapCalls } from '../../extension/protocol/heatmap';
import { fromPanel } from '../../extension/protocol/panel';
import { playgroundCalls } from '../../extension/protocol/playground';
import { symbolicCalls } from '../../extension/protocol/symbolic';
import {
  ggufBombs,
  gzipBombs,
  jpegBombs,
  jsonBombs,
  linesBombs,
  npyBombs,
  npzBombs,
  onnxBombs,
  parquetBombs,
  pngBombs,
  safetensorsBombs,
  tableBombs,
  templateBombs,
} from './bombs';
import type { Bombs } from './bombs';
import { sampleValue } from './from-schema';
import { idxGzipSeeds, idxLabels, idxSeeds, tableSeeds, templateSeeds } from './made-seeds';
import { mutateGraph } from './mutate-graph';
import { mutateJson } from './mutate-json';
import { pick } from './mutate';
import type { Random } from './mutate';

export interface Format {
  /** File extension or file name. */
  readonly extension: string;
  /** Folder of the fixtures that are changed; or what is changed; or what makes that. */
  readonly seeds: string | readonly Buffer[] | ((random: Random) => Buffer);
  /** Companion files: a fixture folder, or contents by name. */
  readonly beside?: string | Readonly<Record<string, Buffer>>;
  /** Bytes at the beginning that are not weights; all if absent. */
  readonly header?: (bytes: Buffer) => number;
  readonly mutateStructure?: (bytes: Buffer, random: Random) => Buffer;
  /** Large, packed and deep files, which are tried first. */
  readonly bombs?: Bombs;
  /** Most memory that a file may take, in bytes; 64 MB and twice the file if absent. */
  readonly most?: number;
  /** Everything that is done with a file before weights are read. */
  readonly open: readonly ((path: string) => unknown)[];
  /** Divisor of the number of files tried, for formats that start a process per file. */
  readonly fewer?: number;
}

/** Values of schemas as JSON. */
const made =
  (schemas: readonly v.GenericSchema[], write: (value: unknown) => string = JSON.stringify) =>
  (random: Random): Buffer => {
    return Buffer.from(write(sampleValue(pick(schemas, random), random) ?? null));
  };

const read = (path: string): string => readFileSync(path, 'utf8');

const readConfig = (text: string, path: string): unknown =>
  parseFamily(requireFamily(text, path), text, path);

const queueSchemas = [orderSchema, sharedSchema, failureSchema];
const calls = [
  ...[compressionCalls, dataMapCalls, explorerCalls],
  ...[heatmapCalls, playgroundCalls, symbolicCalls],
];
const panelSchemas: readonly v.GenericSchema[] = [
  fromPanel,
  ...calls.flatMap((schemas) => Object.values<v.GenericSchema>(schemas)),
];

/** Checks a value by each of some schemas; none may throw. */
function checkAll(schemas: readonly v.GenericSchema[], value: unknown): void {
  for (const schema of schemas) {
    v.safeParse(schema, value);
  }
}

const documents = Object.fromEntries(
  documentIds.map((id): [string, Format] => [
    id,
    {
      bombs: jsonBombs,
      extension: documentNames[id].suffix,
      seeds: made([documentTypes[id].schema]),
      mutateStructure: mutateJson,
      open: [(path: string): unknown => documentTypes[id].parse(read(path), path)],
    },
  ]),
);

/** Fuzz targets by their name on the command line. */
export const formats: Readonly<Record<string, Format>> = {
  safetensors: {
    bombs: safetensorsBombs,
    extension: '.safetensors',
    seeds: 'models',
    header: (bytes) => 8 + Number(bytes.readBigUInt64LE()),
    open: [openSafetensors],
  },
  index: {
    bombs: jsonBombs,
    extension: '/model.safetensors.index.json',
    seeds: 'models/llama-sharded',
    beside: 'models/llama-sharded',
    mutateStructure: mutateJson,
    open: [async (path: string): Promise<unknown> => openModelFiles(dirname(path))],
  },
  gguf: {
    bombs: ggufBombs,
    extension: '.gguf',
    seeds: 'gguf',
    header: () => 4096,
    open: [
      async (path) => openGguf(requireGgufFile(await readGgufModel(path), path), path),
      readGgufTokenizer,
    ],
  },
  onnx: {
    bombs: onnxBombs,
    // A graph of many nodes is valid, and needs this much memory when decoded.
    most: 448 << 20,
    extension: '.onnx',
    seeds: 'onnx',
    mutateStructure: mutateGraph,
    open: [
      async (path: string): Promise<void> => {
        const model = await openOnnxModel(path);
        for (const index of model.branches.keys()) {
          const graph = await removeFromGraph(model, new Set([index]));
          graph.toBytes(({ offset }) => ({ location: 'weights', offset }));
        }
        const layered = await OnnxLayeredModel.open(path);
        for (const index of layered.summary.sublayers.keys()) {
          const { part, skipped } = layered.sublayer(index);
          part.build();
          skipped.part?.build();
        }
        layered.prologue.part.build();
        layered.epilogue.build();
      },
    ],
  },
  config: {
    bombs: jsonBombs,
    extension: '/config.json',
    seeds: 'models',
    mutateStructure: mutateJson,
    open: [(path: string): unknown => readConfig(read(path), path)],
  },
  tokenizer: {
    bombs: jsonBombs,
    extension: '/tokenizer.json',
    seeds: 'models',
    mutateStructure: mutateJson,
    open: [
      async (path: string): Promise<void> => {
        const tokenizer = await loadTokenizer(dirname(path));
        tokenizer.encode('The quick brown fox.');
      },
    ],
  },
  chat: {
    bombs: templateBombs,
    extension: '.jinja',
    seeds: templateSeeds,
    open: [
      (path: string): void => {
        const specialTokens = { bos_token: '<s>', eos_token: '</s>' };
        const tokenizer = { file: path, chatTemplate: read(path), specialTokens };
        renderChat(tokenizer as unknown as Parameters<typeof renderChat>[0], 'Why?', [
          { prompt: 'What?', answer: 'That.' },
        ]);
      },
    ],
  },
  preprocessor: {
    bombs: jsonBombs,
    extension: '/preprocessor_config.json',
    seeds: 'examples/processors',
    mutateStructure: mutateJson,
    open: [async (path: string): Promise<unknown> => readImageSteps(dirname(path))],
  },
  manifest: {
    bombs: jsonBombs,
    extension: '/espalier.json',
    seeds: made([manifestSchema]),
    mutateStructure: mutateJson,
    open: [async (path: string): Promise<unknown> => readManifest(dirname(path))],
  },
  ...documents,
  queue: {
    bombs: jsonBombs,
    extension: '.message',
    seeds: made(queueSchemas, encode),
    mutateStructure: mutateJson,
    open: [
      (path: string): void => {
        checkAll(queueSchemas, decode(read(path)));
      },
    ],
  },
  webview: {
    extension: '.webview',
    seeds: made(panelSchemas),
    mutateStructure: mutateJson,
    open: [
      (path: string): void => {
        checkAll(panelSchemas, decode(read(path)));
      },
    ],
  },
  task: { bombs: linesBombs, extension: '.jsonl', seeds: 'tasks', open: [readTask, openDataset] },
  csv: {
    bombs: tableBombs,
    most: 384 << 20,
    extension: '.csv',
    seeds: tableSeeds,
    open: [openDataset],
  },
  npy: { bombs: npyBombs, extension: '.npy', seeds: 'examples', open: [readNpy] },
  npz: {
    bombs: npzBombs,
    most: 256 << 20,
    extension: '.npz',
    seeds: 'examples',
    open: [openDataset],
  },
  idx: {
    extension: '/train-images-idx3-ubyte',
    seeds: idxSeeds,
    beside: { 'train-labels-idx1-ubyte': idxLabels },
    open: [openDataset],
  },
  'idx-gzip': {
    bombs: gzipBombs,
    extension: '/train-images-idx3-ubyte.gz',
    seeds: idxGzipSeeds,
    beside: { 'train-labels-idx1-ubyte': idxLabels },
    open: [openDataset],
  },
  parquet: {
    bombs: parquetBombs,
    extension: '.parquet',
    seeds: 'examples/tables',
    open: [
      async (path: string): Promise<unknown> => withParquet(path, async () => Promise.resolve()),
    ],
  },
  'parquet-rows': {
    bombs: parquetBombs,
    extension: '.parquet',
    seeds: 'examples/tables',
    open: [openDataset],
    fewer: 200,
  },
  png: { bombs: pngBombs, extension: '.png', seeds: 'examples', open: [readImage] },
  jpeg: { bombs: jpegBombs, extension: '.jpg', seeds: 'examples', open: [readImage] },
  wav: { extension: '.wav', seeds: 'examples/sounds', open: [readWav] },
};

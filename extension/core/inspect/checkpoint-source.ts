import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readGgufModel } from '../checkpoints/gguf-parts';
import type { GgufValue } from '../checkpoints/gguf-values';
import { elementCount } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { readConfigText } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import { embeddingTensors } from '../models/encoders/encoder-embedding';
import type { ConfigFields } from '../models/transformer/model-config';
import { findGgufFile } from '../models/gguf/gguf-file';
import { namesInFolder } from '../models/gguf/gguf-model';
import type { OpenModel } from '../models/model-cache';
import { OpenedModel } from '../models/opened-model';
import type { ModelHeaders } from '../models/model-headers';
import { streamTensors } from '../models/transformer/runnable';
import { UserError } from '../user-error';
import { ggufConfig, record } from './config-facts';
import type { WeightsLocation, KnownSublayer, ModelSource } from './locate-weights';
import type { StoredTensor } from './model-description';
import { joined, say } from '../message';
import type { Message } from '../message';
import { parseJsonText } from '../parse-json';
import type { AnyModel } from '../models/opened-model';

/** Reads the headers of safetensors files and the config.json they belong to. */
export async function readSafetensorsSource(
  place: WeightsLocation,
  open: OpenModel,
): Promise<ModelSource> {
  const { opened, headers } = await tryOpen(place, open);
  const checkpoint =
    headers?.format === 'safetensors' && headers.checkpoint.entry === place.weights
      ? headers.checkpoint
      : await openSafetensors(place.weights);
  const config = place.whole ? await readConfig(join(place.folder, 'config.json')) : {};
  const { model_type: type, architectures } = config;
  const family = typeof type === 'string' ? type : firstText(architectures);
  return {
    ...understand(opened, [...checkpoint.tensors.values()]),
    family,
    config,
    metadata: checkpoint.metadata,
    files: await sizes(checkpoint.files),
  };
}

/** Reads the header of a GGUF file. */
export async function readGgufSource(
  place: WeightsLocation,
  open: OpenModel,
): Promise<ModelSource> {
  const { opened, headers } = await tryOpen(place, open);
  const header = headers?.format === 'gguf' ? headers.header : await readGgufModel(place.weights);
  const { metadata, tensors, files, version } = header;
  const architecture = metadata.get('general.architecture');
  const family = typeof architecture === 'string' ? architecture : undefined;
  const hasHead = tensors.some(({ name }) => name === 'output.weight');
  const embedding = tensors.find(({ name }) => name === 'token_embd.weight');
  const file = headers?.format === 'gguf' ? headers : findGgufFile(header, place.weights);
  const known = opened instanceof OpenedModel && opened.family.kind === 'decoder';
  const config = known ? opened.family.config : undefined;
  const source = understand(opened, tensors, file && namesInFolder(file, config));
  return {
    ...source,
    family,
    config: {
      vocab_size: embedding?.shape[0],
      ...ggufConfig(metadata, family ?? ''),
    },
    ...(embedding !== undefined && source.tiedHead === undefined ? { tiedHead: !hasHead } : {}),
    metadata: {
      version: String(version),
      ...Object.fromEntries([...metadata].map(([key, value]) => [key, formatValue(value)])),
    },
    files: await sizes(files),
    warnings: source.warnings,
  };
}

type Understood = Pick<
  ModelSource,
  'understood' | 'tensors' | 'sublayers' | 'parts' | 'warnings' | 'tiedHead' | 'facts'
>;

/** Structure of the opened model. If it can't be opened, its tensors are still listed. */
function understand(
  opened: OpenedModel | UserError | undefined,
  lazy: readonly LazyTensor[],
  inFolder: ReturnType<typeof namesInFolder> = new Map(),
): Understood {
  const model = opened instanceof OpenedModel ? opened.model : undefined;
  const interleaved = model === undefined ? undefined : interleavedHeads(model);
  const tensors = lazy.map((tensor): StoredTensor => {
    const known = inFolder.get(tensor.name);
    const heads = interleaved?.get(describePlace(tensor));
    return {
      ...storedTensor(tensor),
      ...(known === undefined
        ? {}
        : {
            folderTensor: { ...known, ...(heads === undefined ? {} : { interleavedHeads: heads }) },
          }),
    };
  });
  if (model === undefined) {
    const reason = opened instanceof UserError ? describeReason(opened) : undefined;
    return {
      understood: { by: 'names', reason },
      tensors,
      sublayers: [],
      parts: new Map(),
      warnings: [],
    };
  }
  const byPlace = new Map(tensors.map((tensor) => [describePlace(tensor), tensor]));
  // A norm that parallel branches share is listed with the first of them.
  const taken = new Set<StoredTensor>();
  const sublayers = model.summary.sublayers.map((summary, index): KnownSublayer => {
    const all = model
      .sublayer(index)
      .tensors.flatMap((known) => byPlace.get(describePlace(known)) ?? []);
    const own = [...new Set(all)].filter((tensor) => !taken.has(tensor));
    own.forEach((tensor) => taken.add(tensor));
    const keepsNothing = summary.kvBytesPerToken === 0;
    return { summary, tensors: own, ...(keepsNothing ? { cacheElements: 0 } : {}) };
  });
  const { tiedHead, warnings, encoderBlocks } = model.summary;
  return {
    understood: { by: 'architecture', reason: undefined },
    tensors,
    sublayers,
    parts: new Map(
      [
        ...soundTensors(model).map((tensor) => [tensor, 'embedding'] as const),
        ...(model.kind === 'decoder' ? streamTensors(model.layout) : []).map(
          (tensor) => [tensor, 'other'] as const,
        ),
      ].flatMap(([tensor, part]) => {
        const stored = byPlace.get(describePlace(tensor));
        return stored === undefined ? [] : [[stored, part] as const];
      }),
    ),
    warnings,
    ...(tiedHead === undefined ? {} : { tiedHead }),
    ...(encoderBlocks === undefined ? {} : { facts: { encoderBlocks } }),
  };
}

/** Convolutions over audio samples, whose index is not a block number. */
const soundTensors = (model: AnyModel): readonly LazyTensor[] =>
  model.kind === 'encoder' && model.layout.embedding.kind === 'audio'
    ? embeddingTensors(model.layout.embedding)
    : [];

/** Number of heads with interleaved rows, by tensor location. */
function interleavedHeads(model: AnyModel): Map<string, number> {
  return new Map(
    model.summary.sublayers
      .flatMap((_, index) => model.sublayer(index).tensors)
      .flatMap((tensor): [string, number][] =>
        tensor.interleavedHeads === undefined
          ? []
          : [[describePlace(tensor), tensor.interleavedHeads]],
      ),
  );
}

/**
 * Opens the model, for its headers. `opened` is an error if it can't be opened, and undefined for weights that are not a
 * model on their own.
 */
async function tryOpen(
  { whole, weights }: WeightsLocation,
  open: OpenModel,
): Promise<{ opened?: OpenedModel | UserError; headers?: ModelHeaders }> {
  try {
    const opened = whole ? await open(weights) : undefined;
    return opened === undefined ? {} : { opened, headers: opened.headers };
  } catch (error) {
    if (error instanceof UserError) {
      return { opened: error };
    }
    throw error;
  }
}

function describeReason({ problem, subject: { field, remedy } }: UserError): Message {
  return joined([field === undefined ? problem : say`${field}: ${problem}`, remedy]);
}

/** The model may use other tensor names than its files; locations are the same. */
function describePlace({
  file,
  offset,
}: {
  readonly file: string;
  readonly offset: number | undefined;
}): string {
  return `${offset ?? ''} ${file}`;
}

function storedTensor({ name, dtype, shape, length, file, offset }: LazyTensor): StoredTensor {
  return { name, dtype, shape, parameters: elementCount(shape), bytes: length, file, offset };
}

/** A config.json that is missing or damaged leaves the names of the tensors. */
async function readConfig(path: string): Promise<ConfigFields> {
  try {
    return record(parseJsonText(await readConfigText(path)));
  } catch {
    return {};
  }
}

async function sizes(files: readonly string[]): Promise<ModelSource['files']> {
  return Promise.all(files.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}

function firstText(value: unknown): string | undefined {
  const [first]: readonly unknown[] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  return typeof first === 'string' ? first : undefined;
}

function formatValue(value: GgufValue): string {
  return typeof value === 'object' ? `list of ${value.length}` : String(value);
}

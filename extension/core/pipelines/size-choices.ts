import { stat } from 'node:fs/promises';
import { isDequantized } from '../checkpoints/ggml-types';
import { typeMixNames } from '../export/gguf/type-mixes';
import type { TypeMix } from '../export/gguf/type-mixes';
import { writeSource } from '../export/write-source';
import type { JobContext } from '../jobs/job';
import { formatBytes } from '../format';
import { listed, say } from '../message';
import type { Message } from '../message';
import { modelStacks } from '../models/layer-stacks';
import type { LinearLayer, EmbeddingOrHead, EmbeddingOrHeadPlace } from '../models/matrix-encoding';
import type { ModelSummary } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { parseMemorySize } from '../runtime/memory-size';
import type { Compression, CompressionChoice } from '../tensornet/compression-choice';
import { compressionMethods } from '../tensornet/compression-methods';
import { formBytes, plannedForm } from '../tensornet/planned-encoding';
import { expandCompressions } from '../tensornet/sensitivity/expand-compressions';
import { storageDtype } from '../tensornet/compression-context';
import { UserError } from '../user-error';
import { chooseForAll, listLayers } from './compression/layer-choices';
import { canTypeLayers, ggufFacts } from './gguf-facts';
import { runtimeMemory } from './runtime-memory';
import { runtimeOutput } from './runtimes';
import type { Runtime, RuntimeOutput } from './runtimes';

/** Expected loss of a choice. */
export const lossWords = {
  'almost none': say`almost no loss`,
  'very small': say`very small loss`,
  small: say`small loss`,
  moderate: say`moderate loss`,
  large: say`large loss`,
  'very large': say`very large loss`,
  least: say`best mix per tensor`,
} as const satisfies Readonly<Record<string, Message>>;
export type LossWord = keyof typeof lossWords;
/** Losses up to a small one. */
export const smallLosses: ReadonlySet<LossWord> = new Set(['almost none', 'very small', 'small']);

/** Reason to think twice about a choice. */
export const sizeMarks = ['larger', 'out of reach', 'requantizes', 'memory'] as const;
export type SizeMark = (typeof sizeMarks)[number];

/** True if a mark means that the choice can't be taken. */
const isForbidding = (mark: SizeMark): boolean => mark === 'larger' || mark === 'out of reach';

/** A size that a model can be written in. */
export interface SizeChoice {
  /** Request for it: a percentage, or the name of a type. */
  readonly size: string;
  /** Bytes of the weight files; the limit of a mix. Exact for GGUF files, without headers for other formats. */
  readonly bytes: number;
  /** `mix`: the best type for each tensor below a limit, which is measured. `type`: one named type. */
  readonly kind: 'mix' | 'type';
  /** Bytes of weights, keys, values and buffers at {@link SizeChoices.context} tokens. */
  readonly memoryBytes: number;
  /** Typical loss of other models. */
  readonly loss: LossWord;
  readonly marks: readonly SizeMark[];
}

/** Sizes that a model can be written in for a runtime. */
export interface SizeChoices {
  readonly name: string;
  /** Absolute path of the model. */
  readonly path: string;
  /** Bytes of its weight files. */
  readonly bytes: number;
  readonly runtime: Runtime;
  /** Tokens of context that memory is counted at. */
  readonly context: number;
  /** Quantization type of most of its weights; absent if they are floats. */
  readonly quantized?: string;
  /** Smallest size that a mix can be asked for, in bytes; absent if tensors can't get types of their own. */
  readonly leastBytes?: number;
  /** Possible choices first. */
  readonly choices: readonly SizeChoice[];
}

/** Common types of llama.cpp, from the largest, with their typical loss. */
const commonTypes: Readonly<Partial<Record<TypeMix, LossWord>>> = {
  Q8_0: 'almost none',
  Q6_K: 'very small',
  Q5_K_M: 'small',
  Q4_K_M: 'moderate',
  IQ4_XS: 'moderate',
  Q3_K_M: 'large',
  Q2_K: 'very large',
};

/** Encodings of all linear layers, for runtimes other than llama.cpp. */
const encodings = { int8: 'very small', int4: 'moderate' } as const satisfies Readonly<
  Record<string, LossWord>
>;
type Encoding = keyof typeof encodings;

/** Share of the default mix, and of larger ones that are offered if it is out of reach. */
const shares = [0.5, 0.75, 0.9] as const;

/** Size that a request asks for. */
export type TargetSize =
  | { readonly kind: 'limit'; readonly bytes: number }
  | { readonly kind: 'type'; readonly type: TypeMix }
  | { readonly kind: 'encoding'; readonly encoding: Encoding };

/** A percentage of the model, an amount, or the name of a type. */
export const sizeForm = {
  pattern: /^(?:\d+(?:\.\d+)?(?:%|\s?[kmgt]i?b?)|[a-z]+\d\w*)$/i,
  takes: say`a percentage of the model, an amount, or a type, such as 50%, 4GB or Q5_K_M`,
};

/** True if a size that {@link sizeForm} matches names a type, so that nothing is measured. */
export const namesType = (size: string): boolean => /^[a-z]/i.test(size);

/**
 * Parses a size that {@link sizeForm} matches.
 * @param bytes of the model's weight files
 * @throws UserError if it is not below the model's size, or the runtime has no such type.
 */
export function parseSize(size: string, bytes: number, runtime: Runtime): TargetSize {
  const field = 'size';
  if (namesType(size)) {
    const name = size.toUpperCase();
    const type = typeMixNames.find((one) => one === name);
    const encoding = (Object.keys(encodings) as Encoding[]).find(
      (one) => one === size.toLowerCase(),
    );
    if (runtime === 'llama.cpp' && type !== undefined) {
      return { kind: 'type', type };
    }
    if (runtime !== 'llama.cpp' && encoding !== undefined) {
      return { kind: 'encoding', encoding };
    }
    const known = runtime === 'llama.cpp' ? typeMixNames : Object.keys(encodings);
    throw new UserError('size-unknown', say`${size} is not a type of ${runtime}.`, {
      field,
      remedy: say`Choose one of ${known.join(', ')}, a percentage such as 50%, or an amount such as 4GB.`,
    });
  }
  const limit = size.endsWith('%')
    ? Math.floor((Number.parseFloat(size) / 100) * bytes)
    : (parseMemorySize(size) ?? 0);
  if (limit <= 0 || limit >= bytes) {
    throw new UserError(
      'size-not-smaller',
      say`${size} is not smaller than the model, which has ${formatBytes(bytes)}.`,
      { field, remedy: say`Choose a smaller size, such as 50%.` },
    );
  }
  return { kind: 'limit', bytes: limit };
}

/** Total bytes of a model's weight files. */
export async function weightBytes(opened: OpenedModel): Promise<number> {
  const sizes = await Promise.all(
    writeSource(opened).files.map(async (file) => (await stat(file)).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Lists the sizes that a model can be written in, computed from its headers. Runs no model.
 * @param machineBytes memory of the machine that will run it
 * @param tokens context length that memory is counted at
 * @param hasImportance true for types whose rounding uses an importance matrix, on which some sizes depend
 * @throws UserError if the runtime can't load the model's format.
 */
export async function listSizes(
  opened: OpenedModel,
  runtime: Runtime,
  machineBytes: number,
  tokens: number,
  context: JobContext,
  hasImportance: (type: string) => boolean,
): Promise<SizeChoices> {
  const { summary, path } = opened;
  const output = await runtimeOutput(opened, runtime);
  const bytes = await weightBytes(opened);
  const { cache, buffers } = runtimeMemory(opened, runtime, tokens);
  const quantized = quantizedType(summary);
  const named: (Pick<SizeChoice, 'size' | 'bytes' | 'loss'> & { readonly isKept: boolean })[] = [];
  const names = Object.entries(runtime === 'llama.cpp' ? commonTypes : encodings);
  for (const [size, loss] of names) {
    const target = parseSize(size, bytes, runtime);
    named.push({
      ...{ size, loss, isKept: size === quantized },
      bytes: await targetBytes(opened, output, target, context, hasImportance(size)),
    });
  }
  const least = await leastLimit(opened, output, runtime, context);
  // Another type that is not larger and typically loses less is better in every way.
  const useful = named.filter((one, i) =>
    named.slice(0, i).every((better) => better.bytes > one.bytes),
  );
  const describe = (
    choice: Pick<SizeChoice, 'size' | 'bytes' | 'kind' | 'loss'>,
    isReached: boolean,
    isKept = false,
  ): SizeChoice => {
    const memoryBytes = choice.bytes + cache + buffers;
    const marks: Readonly<Record<SizeMark, boolean>> = {
      larger: choice.bytes >= bytes,
      'out of reach': !isReached,
      requantizes: quantized !== undefined && !isKept,
      memory: memoryBytes > machineBytes,
    };
    return { ...choice, memoryBytes, marks: sizeMarks.filter((mark) => marks[mark]) };
  };
  const mixes = shares.map((share) => {
    const limit = Math.floor(share * bytes);
    const size = `${100 * share}%`;
    return describe(
      { size, bytes: limit, kind: 'mix', loss: 'least' },
      least !== undefined && least <= limit,
    );
  });
  const [halved] = mixes;
  const reached = mixes.find(({ marks }) => !marks.includes('out of reach'));
  const all = [
    ...(least === undefined ? [] : new Set([halved, reached])),
    ...useful.map(({ isKept, ...one }) => describe({ ...one, kind: 'type' }, true, isKept)),
  ].filter((choice) => choice !== undefined);
  return {
    ...{ name: summary.name, path, bytes, runtime, context: tokens },
    ...(quantized === undefined ? {} : { quantized }),
    ...(least === undefined ? {} : { leastBytes: least }),
    choices: [...all.filter(isPossible), ...all.filter((choice) => !isPossible(choice))],
  };
}

/** Title of a mix of a share of the model's size, such as `75%`. */
export const mixTitle = (size: string): Message =>
  size === '50%' ? say`Half the size` : say`${size.replace('%', ' %')} of the size`;

/** True if a choice can be taken. */
export const isPossible = ({ marks }: Pick<SizeChoice, 'marks'>): boolean =>
  !marks.some(isForbidding);

/** True if every possible choice quantizes quantized weights again, so that a list says it once. */
export const requantizesAlways = ({ choices }: Pick<SizeChoices, 'choices'>): boolean => {
  const possible = choices.filter(isPossible);
  return possible.length > 0 && possible.every(({ marks }) => marks.includes('requantizes'));
};

/** Describes a mark of a choice. */
function describeMark(
  mark: SizeMark,
  { quantized = '', leastBytes = 0 }: Pick<SizeChoices, 'quantized' | 'leastBytes'>,
): Message {
  switch (mark) {
    case 'larger':
      return say`not smaller than the model`;
    case 'out of reach':
      return say`out of reach: at least ${formatBytes(leastBytes)}`;
    case 'requantizes':
      return say`requantizes ${quantized}`;
    case 'memory':
      return say`needs more memory than this machine has`;
  }
}

/**
 * Marks of a choice in words, or undefined if it has none; only the reasons if the choice can't be taken.
 * @param isListed true in a list that says once what {@link requantizesAlways} is about
 */
export function describeMarks(
  choice: Pick<SizeChoice, 'marks'>,
  sizes: Pick<SizeChoices, 'quantized' | 'leastBytes' | 'choices'>,
  isListed: boolean,
): Message | undefined {
  const isSaid = (mark: SizeMark): boolean =>
    isPossible(choice)
      ? !isListed || mark !== 'requantizes' || !requantizesAlways(sizes)
      : isForbidding(mark);
  const [first, ...others] = choice.marks.filter(isSaid).map((mark) => describeMark(mark, sizes));
  return first && listed([first, ...others]);
}

/** Quantization type of most of a model's weights; undefined if most of its bytes are floats. */
export function quantizedType({ dtypes, quantization }: ModelSummary): string | undefined {
  if (quantization !== undefined) {
    return quantization.method;
  }
  const [most] = Object.entries(dtypes)
    .filter(([dtype]) => isDequantized(dtype))
    .sort(([, a], [, b]) => b - a);
  return most?.[0];
}

/**
 * Exact bytes of the weight files for a named type, or the limit of a mix. Writes nothing.
 * @throws UserError if the model has nothing to quantize
 */
export async function targetBytes(
  opened: OpenedModel,
  { option, changes }: RuntimeOutput,
  target: TargetSize,
  context: JobContext,
  hasImportance = false,
): Promise<number> {
  if (target.kind === 'limit') {
    return target.bytes;
  }
  const quiet = { ...context, warn: () => undefined };
  const types = target.kind === 'type' ? { types: { mix: target.type, hasImportance } } : {};
  const writer = await option.writer(changes, { device: 'cpu', memoryBytes: 0, ...types }, quiet);
  if (target.kind === 'type') {
    return writer.bytes;
  }
  return compressedBytes(opened, encodingChoices(opened, target.encoding), writer.bytes);
}

/**
 * Predicted bytes with some matrices compressed.
 * @param before bytes with all of them as they are
 */
export function compressedBytes(
  opened: OpenedModel,
  choices: readonly CompressionChoice[],
  before: number,
): number {
  const matrices = new Map(
    [...listLayers(opened.model), ...opened.model.embeddingAndHeadMatrices].map((one) => [
      one.id,
      one,
    ]),
  );
  const chosen = new Set(choices.map(({ tensor }) => tensor));
  return choices.reduce((sum, choice) => {
    const matrix = matrices.get(choice.tensor);
    if (matrix === undefined) return sum;
    const tied = 'place' in matrix ? matrix.tiedTo : undefined;
    const isShared = tied !== undefined && chosen.has(tied);
    if (isShared && 'place' in matrix && matrix.place === 'head') return sum;
    // If only one of two tied matrices is compressed, the other is stored as it was.
    const shared = tied === undefined || isShared ? 0 : matrix.weight.length;
    return sum + bytesSaved(opened, matrix, choice) + shared;
  }, before);
}

/** Difference in bytes that an encoding makes, negative if it is smaller. */
function bytesSaved(
  { summary }: OpenedModel,
  matrix: LinearLayer | EmbeddingOrHead,
  compression: Compression,
): number {
  const settings = { dtype: storageDtype(summary), isCalibrated: !('place' in matrix) };
  return formBytes(plannedForm(matrix, compression, settings)) - matrix.weight.length;
}

/** Matrices outside the blocks that are stored dense. */
export const densePlaces = ({ model }: OpenedModel): EmbeddingOrHeadPlace[] =>
  (['embedding', 'head'] as const).filter((place) =>
    model.embeddingAndHeadMatrices.some(
      (matrix) => matrix.place === place && matrix.encoding === undefined,
    ),
  );

/**
 * All linear layers in an encoding. Embedding and head are int8 in any case, as their loss is large for their size.
 * @throws UserError if the model has no linear layers.
 */
export function encodingChoices(opened: OpenedModel, encoding: Encoding): CompressionChoice[] {
  const { choices } = chooseForAll(opened.model, { method: encoding }, {});
  const places = densePlaces(opened);
  const all = chooseForAll(opened.model, { method: 'int8' }, { embeddingAndHead: places }).choices;
  const embeddingAndHead = new Set(opened.model.embeddingAndHeadMatrices.map(({ id }) => id));
  return [...choices, ...all.filter(({ tensor }) => embeddingAndHead.has(tensor))];
}

/** Bytes by which each matrix can exceed what a plan counts: alignment, names and shapes in headers, nodes of graphs. */
const overheads: Readonly<Record<Runtime, number>> = {
  'llama.cpp': 32,
  transformers: 512,
  onnxruntime: 4096,
};

/** Bytes by which written files can exceed what a plan counts. */
const planOverhead = ({ model }: OpenedModel, runtime: Runtime): number => {
  const layers = runtime === 'llama.cpp' ? modelStacks(model) : listLayers(model);
  return overheads[runtime] * (layers.length + model.embeddingAndHeadMatrices.length);
};

/** Bytes that a plan may count below a limit, so that the written files are below it too. */
export const plannedLimit = (opened: OpenedModel, runtime: Runtime, limit: number): number =>
  limit - planOverhead(opened, runtime);

/** Methods that a mix chooses from. */
export const mixMethods = (runtime: Runtime): string[] =>
  runtime === 'llama.cpp' ? ['gguf'] : Object.keys(encodings);

/**
 * Smallest size that a mix can be asked for, in bytes.
 * @returns undefined if tensors can't have individual types
 */
export async function leastLimit(
  opened: OpenedModel,
  output: RuntimeOutput,
  runtime: Runtime,
  context: JobContext,
): Promise<number | undefined> {
  const least = await leastBytes(opened, output, runtime, context);
  return least === undefined ? undefined : least + planOverhead(opened, runtime);
}

/** Bytes that a plan counts for the smallest mix, likewise. */
async function leastBytes(
  opened: OpenedModel,
  { option, changes }: RuntimeOutput,
  runtime: Runtime,
  context: JobContext,
): Promise<number | undefined> {
  const { model } = opened;
  const embeddingAndHead = model.embeddingAndHeadMatrices.filter(
    (one) => one.encoding === undefined && !isTiedHead(one),
  );
  const requests = (mixMethods(runtime) as (Encoding | 'gguf')[]).map((method) => ({ method }));
  if (runtime !== 'llama.cpp') {
    if (!opened.capabilities.compress.able) {
      return undefined;
    }
    const quiet = { ...context, warn: () => undefined };
    const writer = await option.writer(changes, { device: 'cpu', memoryBytes: 0 }, quiet);
    return [...listLayers(model), ...embeddingAndHead].reduce(
      (sum, matrix) =>
        sum +
        Math.min(
          0,
          ...expandCompressions(matrix, requests).map((one) => bytesSaved(opened, matrix, one)),
        ),
      writer.bytes,
    );
  }
  if (!(await canTypeLayers(opened))) {
    return undefined;
  }
  const matrices = [...modelStacks(model), ...embeddingAndHead];
  const { bytes, tensors } = await ggufFacts(opened, matrices, 0, context);
  return matrices.reduce((sum, matrix) => {
    const stored = Object.values(tensors[matrix.id] ?? {}).reduce((all, one) => all + one, 0);
    const sizes = expandCompressions(matrix, requests).map(
      ({ setting }) => compressionMethods.gguf.bytes?.(matrix, setting) ?? stored,
    );
    return sum + Math.min(0, ...sizes.map((size) => size - stored));
  }, bytes);
}

const isTiedHead = ({ place, tiedTo }: EmbeddingOrHead): boolean =>
  place === 'head' && tiedTo !== undefined;

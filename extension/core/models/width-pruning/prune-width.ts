import { createHash } from 'node:crypto';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { setField } from '../../parse-json';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { storeComputed } from '../encodings/store-encodings';
import type { ComputedTensor } from '../encodings/store-encodings';
import { readEncoder } from '../encoders/open-encoder';
import { parseDecoder, parseFamily } from '../model-family';
import type { ParsedFamily } from '../model-family';
import { GgufKeys } from '../gguf/gguf-keys';
import { readDecoder, readGguf } from '../open-model';
import { readSeq2Seq } from '../seq2seq/open-seq2seq';
import type { LayeredModel } from '../layered-model';
import type { ModelSummary, SublayerKind } from '../model-summary';
import { OpenedModel } from '../opened-model';
import type { AnyModel } from '../opened-model';
import type { ModelConfig } from '../transformer/model-config';
import { unitsMeant } from '../units';
import { formatRanges, parseRanges } from './number-ranges';
import type { PlannedWidthPruning, Width } from './width';
import { cutWeight } from './weight-cuts';
import { ownWidth, explainNotWidthPrunable } from './explain-not-width-prunable';
import { say } from '../../message';
import type { Message } from '../../message';

/** Remaining channels or head groups of sublayers, by sublayer id. */
export type WidthPruning = ReadonlyMap<string, readonly number[]>;

/**
 * Width-pruned model, with the smaller tensors in a new file.
 * @param file path of that file, which must exist as long as the model is used; undefined if the
 * model is only described
 * @throws UserError for a sublayer that can't be pruned this way.
 */
export async function pruneWidth(
  opened: OpenedModel,
  widthPruning: WidthPruning,
  file: string | undefined,
): Promise<OpenedModel> {
  const made = [...widthPruning].flatMap(([id, remaining]) =>
    requireWidth(opened, id).tensors.flatMap((one) => cutWeight(one, remaining)),
  );
  const stored =
    file === undefined
      ? new Map(made.map((one): [string, LazyTensor] => [one.name, notStored(one)]))
      : await storeComputed(file, made);
  const { summary } = opened;
  const widths = remainingCounts(widthPruning);
  const fingerprint = createHash('sha256').update(summary.fingerprint);
  for (const [id, remaining] of widthPruning) {
    fingerprint.update(`${id} ${formatRanges(remaining)}\n`);
  }
  const { model, family, headers } = await readWidthPruned(
    opened,
    stored,
    widthPruning,
    fingerprint.digest('hex'),
  );
  return new OpenedModel(model, family, headers, { original: opened, widths });
}

/** Number of remaining channels or head groups of each sublayer. */
const remainingCounts = (widthPruning: WidthPruning): Readonly<Record<string, number>> =>
  Object.fromEntries([...widthPruning].map(([id, remaining]) => [id, remaining.length]));

/** Opens the model with the tensors in `stored` instead of its own. */
async function readWidthPruned(
  { family: before, headers, summary, path }: OpenedModel,
  stored: ReadonlyMap<string, LazyTensor>,
  widthPruning: WidthPruning,
  fingerprint: string,
): Promise<Pick<OpenedModel, 'model' | 'family' | 'headers'>> {
  const { name } = summary;
  const widths = remainingCounts(widthPruning);
  const place = (tensor: LazyTensor): LazyTensor => {
    const own = stored.get(tensor.name);
    return own === undefined ? tensor : { ...own, home: tensor.file };
  };
  switch (headers.format) {
    case 'safetensors': {
      const { configFile: config, checkpoint: stored } = headers;
      if (before.kind === 'graph') {
        throw new Error('a folder of safetensors is no graph');
      }
      const configText = withWidths(summary, before, headers.configText, widths);
      const tensors = new Map([...stored.tensors].map(([key, tensor]) => [key, place(tensor)]));
      const checkpoint = { ...stored, tensors };
      const folder = { path, name, config, weights: stored.entry };
      const family = parseFamily(before, configText, config);
      const model = await readAs(family, folder, configText, checkpoint, fingerprint);
      return { model, family, headers: { ...headers, configText, checkpoint } };
    }
    case 'gguf': {
      const header = { ...headers.header, tensors: headers.header.tensors.map(place) };
      const folder = { path, name, config: path, weights: path };
      const file = { ...headers, header, keys: new GgufKeys(header, path) };
      const { model, family } = await readGguf(folder, file, { widths, fingerprint });
      return { model, family, headers: file };
    }
    case 'onnx': {
      const graph = headers.graph.resized(stored, widthPruning, fingerprint);
      return { model: graph, family: before, headers: { ...headers, graph } };
    }
  }
}

async function readAs(
  family: ParsedFamily,
  folder: ModelFolder,
  configText: string,
  checkpoint: Checkpoint,
  fingerprint: string,
): Promise<AnyModel> {
  switch (family.kind) {
    case 'decoder':
      return readDecoder(folder, configText, family, checkpoint, fingerprint);
    case 'encoder':
      return readEncoder(folder, configText, family, checkpoint, fingerprint);
    case 'encoder-decoder':
      return readSeq2Seq(folder, configText, family, checkpoint, fingerprint);
    case 'stages':
      throw new Error('models of stages have no widths');
  }
}

/** Width pruning of a plan, with its other changes. */
export interface PlannedChanges {
  readonly widths?: readonly PlannedWidthPruning[];
  readonly remove?: readonly string[];
  readonly patch?: readonly { readonly sublayer: string }[];
}

/**
 * Remaining channels and head groups of the sublayers that a plan prunes.
 * @throws UserError for sublayers that can't be pruned this way, or that the plan also removes.
 */
export function readWidthPruning(
  model: OpenedModel,
  { widths = [], remove = [], patch = [] }: PlannedChanges,
): WidthPruning {
  const removedIds = new Set([
    ...remove.flatMap((id) => unitsMeant(id, model.summary)),
    ...patch.map(({ sublayer }) => sublayer),
  ]);
  return new Map(
    widths.map(({ sublayer, remove: ranges }, i) => {
      const fault = (code: ErrorCode, problem: Message, remedy?: Message): never => {
        throw new UserError(code, problem, { file: model.path, field: `widths.${i}`, remedy });
      };
      if (removedIds.has(sublayer)) {
        fault(
          'width-of-removed-sublayer',
          say`${sublayer} is removed, so its width can't be pruned.`,
          say`Prune its width or remove it, not both.`,
        );
      }
      const { count, of, step } = requireWidth(model, sublayer);
      const out = new Set(parseRanges(ranges));
      const remaining = Array.from({ length: count }, (_, place) => place).filter(
        (place) => !out.has(place),
      );
      if (remaining.length !== count - out.size) {
        fault(
          'width-out-of-range',
          of === 'channels'
            ? say`${sublayer} has channels 0 to ${count - 1}, but ${ranges} would be removed.`
            : say`${sublayer} has key/value heads 0 to ${count - 1}, but ${ranges} would be removed.`,
          say`Correct the range.`,
        );
      }
      if ([...out].some((one) => !alignedRun(one, step).every((other) => out.has(other)))) {
        fault(
          'width-not-aligned',
          say`${sublayer} is quantized in groups or blocks, so ${step} neighbors are removed together, but ${ranges} would be removed.`,
          say`Remove ranges such as 0-${step - 1}, or prune the width before the model is quantized.`,
        );
      }
      if (remaining.length === 0) {
        fault(
          'width-nothing-left',
          say`This would prune all of ${sublayer}. Remove the sublayer instead.`,
        );
      }
      return [sublayer, remaining];
    }),
  );
}

/** The aligned run of `step` indices that contains `place`. */
function alignedRun(place: number, step: number): number[] {
  return Array.from({ length: step }, (_, i) => place - (place % step) + i);
}

/**
 * The width of a sublayer.
 * @throws UserError if it can only stay or go as a whole.
 */
function requireWidth(opened: OpenedModel, id: string): Width {
  const model: LayeredModel = opened.model;
  const index = model.summary.sublayers.findIndex((one) => one.id === id);
  const width = index < 0 ? undefined : ownWidth(model, index);
  if (width === undefined) {
    throw notWidthPrunable(opened, id);
  }
  return width;
}

function notWidthPrunable({ model, path }: OpenedModel, id: string): UserError {
  const index = model.summary.sublayers.findIndex((one) => one.id === id);
  const why = explainNotWidthPrunable(model, index);
  return why === undefined
    ? new UserError('sublayer-unknown', say`There is no sublayer ${id}.`, {
        file: path,
        field: 'widths',
        remedy: say`Specify one that the model has, such as ${model.summary.sublayers[0]?.id ?? ''}.`,
      })
    : new UserError('width-not-prunable', say`The width of ${id} can't be pruned. ${why.reason}`, {
        file: path,
        field: 'widths',
        remedy: why.remedy,
      });
}

/** Tensor with a known size but no data. */
function notStored({ name, dtype, shape, length, inline }: ComputedTensor): LazyTensor {
  const known = { name, dtype, shape, length, file: '', offset: 0 };
  return inline === undefined ? known : { ...known, inline };
}

/**
 * config.json with the new widths. If all MLPs or all attention layers have the same width and the
 * family has a field for it, the result is a standard model of that size.
 */
function withWidths(
  summary: ModelSummary,
  family: ParsedFamily,
  text: string,
  widths: Readonly<Record<string, number>>,
): string {
  let edited = text;
  const left = new Map(Object.entries({ ...summary.widths, ...widths }));
  for (const { ids, fields } of uniformKinds(summary, family)) {
    const [first, ...others] = ids.map((id) => left.get(id));
    const isOne = first !== undefined && others.every((count) => count === first);
    const uniform = isOne ? fields(edited, first, family, summary) : undefined;
    if (uniform !== undefined) {
      edited = uniform;
      ids.forEach((id) => left.delete(id));
    }
  }
  const { espalier } = JSON.parse(edited) as {
    readonly espalier?: Readonly<Record<string, unknown>>;
  };
  const others = Object.fromEntries(
    Object.entries(espalier ?? {}).filter(([key]) => key !== 'widths'),
  );
  const uneven = left.size === 0 ? {} : { widths: Object.fromEntries(left) };
  const said = { version: 1, removed: [], ...others, ...uneven };
  const isPlain = espalier === undefined && left.size === 0;
  return isPlain ? edited : setField(edited, ['espalier'], said);
}

/** Sublayer kinds whose width has a single field in config.json, with that field. */
function uniformKinds(
  { sublayers }: ModelSummary,
  family: ParsedFamily,
): readonly { readonly ids: readonly string[]; readonly fields: SetFields }[] {
  const sublayerIds = (kind: SublayerKind): string[] =>
    sublayers.filter((one) => one.kind === kind).map(({ id }) => id);
  if (family.kind !== 'encoder-decoder') {
    return [
      { ids: sublayerIds('feedforward'), fields: sizeFields },
      { ids: sublayerIds('attention'), fields: headFields },
    ];
  }
  const { encoder_layers: blocks } = family.config;
  const { names = {} } = family.architecture.config;
  const [ofEncoder, ofDecoder] = ['encoder_ffn_dim', 'decoder_ffn_dim'].map(
    (name) => names[name] ?? name,
  );
  const encoderIds = new Set(sublayers.flatMap(({ id, block }) => (block < blocks ? [id] : [])));
  const all = sublayerIds('feedforward');
  return [ofEncoder, ofDecoder].flatMap((field = '', i) => {
    const isOne = ofEncoder === ofDecoder;
    const ids = isOne ? all : all.filter((id) => encoderIds.has(id) === (i === 0));
    return isOne && i > 0
      ? []
      : [{ ids, fields: (edited, count) => setField(edited, [field], count) }];
  });
}

type SetFields = (
  text: string,
  count: number,
  family: ParsedFamily,
  summary: ModelSummary,
) => string | undefined;

const sizeFields: SetFields = (text, count, family, { path, sublayers }) => {
  if (
    family.kind === 'encoder-decoder' ||
    family.kind === 'stages' ||
    sublayers.some(({ kind }) => kind === 'expert')
  ) {
    return undefined;
  }
  if (family.architecture.innerSize !== undefined) {
    return undefined;
  }
  const { nested, names = {} } = family.architecture.config ?? {};
  const field = names['intermediate_size'] ?? 'intermediate_size';
  const edited = setField(text, [...(nested === undefined ? [] : [nested]), field], count);
  const { config } = parseFamily(family, edited, path);
  const fields = JSON.parse(text) as Readonly<Record<string, unknown>>;
  // Some families compute it of others, and classes of transformers don't ask for it.
  const isSaid =
    field in fields || (family.kind === 'decoder' && names['intermediate_size'] !== undefined);
  return isSaid && config.intermediate_size === count ? edited : undefined;
};

const headFields: SetFields = (text, count, family, { path }) => {
  // An encoder's hidden size over its heads is the size of a head.
  if (family.kind !== 'decoder') {
    return undefined;
  }
  const fields = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const { architecture, config } = family;
  const { num_attention_heads: heads, num_key_value_heads: groups } = config;
  const isSaid = ['head_dim', 'num_attention_heads', 'num_key_value_heads'].every(
    (field) => typeof fields[field] === 'number',
  );
  if (!isSaid || typeof groups !== 'number' || architecture.heads !== undefined) {
    return undefined;
  }
  const fewer = setField(text, ['num_attention_heads'], (heads / groups) * count);
  const edited = setField(fewer, ['num_key_value_heads'], count);
  // Mixers of some families have as many heads as attentions, and keep them.
  const mixers = (own: ModelConfig): string => JSON.stringify([architecture.mixer?.form(own)]);
  return mixers(parseDecoder(architecture, edited, path).config) === mixers(config)
    ? edited
    : undefined;
};

import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { JobContext } from '../../jobs/job';
import type { Refusal } from '../../models/capability';
import type { EncoderModel } from '../../models/encoders/encoder-model';
import { ggufFields, layerNormEpsilon, valueLength } from '../../models/gguf/gguf-fields';
import { allRows } from '../../models/gguf/gguf-rows';
import type { LayeredModel } from '../../models/layered-model';
import type { ModelSummary } from '../../models/model-summary';
import type { Seq2SeqModel } from '../../models/seq2seq/seq2seq-model';
import { isGated, t5Forms } from '../../models/seq2seq/t5';
import { defaultLength } from '../../models/encoders/t5-encoder';
import {
  farthestInGguf,
  t5InGguf,
  t5Fields,
  t5PlaceInGguf,
  towerBlocks,
  explainOtherTowers,
} from '../../models/gguf/t5-gguf';
import type { ConfigFields } from '../../models/transformer/config-layout';
import { isTied } from '../../models/transformer/embedding-and-head';
import { explainPartialBlocks } from '../changes';
import type { Changes } from '../changes';
import type { CheckpointSource } from '../hugging-face/checkpoint-source';
import type { OutputOption } from '../output-options';
import { parametersAfter, planTensors } from '../weight-plan';
import type { PlannedTensor } from '../weight-plan';
import type { WeightWriter, WriteOptions } from '../weight-writer';
import { encoderEntries, explainUnsupportedPooling } from './encoders/encoder-in-file';
import { folderFileWriter, warnLeftOut } from './folder-to-gguf';
import { explainUnsupportedChanges } from './gguf-options';
import { whyOtherWidths } from './gguf-sizes';
import { HeaderEntries } from './header-entries';
import type { PlacedTensor } from './place-tensors';
import { say } from '../../message';
import type { Message } from '../../message';

type T5Model = Seq2SeqModel | EncoderModel;

type T5Source = CheckpointSource & { readonly model: T5Model };

const isT5 = (model: LayeredModel): model is T5Model =>
  (model.kind === 'encoder-decoder' || model.kind === 'encoder') &&
  t5Forms.some(({ modelType }) => modelType === model.summary.architecture);

/** True for a folder with T5, a related model, or the encoder of one. */
export const isT5Source = (source: CheckpointSource): source is T5Source => isT5(source.model);

/**
 * Returns a function that maps a folder's tensor names to GGUF names, or undefined if the model
 * isn't an {@link isT5Source}.
 */
export const t5NamesInFile = (
  source: Pick<CheckpointSource, 'family' | 'model'>,
): ReturnType<typeof t5PlaceInGguf> | undefined =>
  isT5(source.model) ? t5PlaceInGguf(configFields(source)) : undefined;

/** A GGUF file of a folder of T5, without whole blocks any. */
export function t5GgufOptions(source: T5Source, configFile: string): OutputOption[] {
  let pooling: ReturnType<typeof explainUnsupportedPooling> | undefined;
  return [
    {
      ...{ format: 'gguf', layout: 'blocks' },
      isDefault: () => true,
      refuse: async (changes) =>
        explainUnsupportedChanges(changes) ??
        whyOtherT5(source, configFile) ??
        explainPartialBlocks(source.model.summary, changes) ??
        whyOtherWidths(source.model.summary, undefined, changes) ??
        whyAbsent(changes) ??
        explainOtherTowers(source.model.summary, changes.blocks) ??
        (await (pooling ??= explainUnsupportedPooling(source.model, undefined))),
      writer: async (changes, options, context) => t5Writer(source, changes, options, context),
    },
  ];
}

/** Fields of config.json; T5 is an encoder with or without a decoder. */
const configFields = ({ family }: Pick<CheckpointSource, 'family'>): ConfigFields => family.config;

/** Number of heads. */
const headCount = (config: ConfigFields): number =>
  Number(config['encoder_attention_heads'] ?? config['num_attention_heads']);

/** Why llama.cpp would compute another model (src/models/t5.cpp). */
function whyOtherT5(source: CheckpointSource, configFile: string): Refusal | undefined {
  const config = configFields(source);
  const { hidden_act: activation, relative_attention_max_distance: farthest } = config;
  const { model } = source;
  const refuse = (field: string, reason: Message): Refusal => ({
    ...{ code: 'not-in-gguf', file: configFile, field, reason },
    remedy: say`Choose another format.`,
  });
  if (model.kind === 'encoder-decoder' && model.layout.head === undefined) {
    return refuse('architectures', say`llama.cpp needs the head of a t5 model.`);
  }
  if (farthest !== farthestInGguf) {
    return refuse(
      'relative_attention_max_distance',
      say`llama.cpp treats all distances above ${farthestInGguf} as equal, not above ${Number(farthest)}.`,
    );
  }
  return activation === (isGated(config) ? 'gelu_new' : 'relu')
    ? undefined
    : refuse('feed_forward_proj', say`llama.cpp runs t5 models with relu or gated-gelu only.`);
}

/**
 * Name of a result's tensor in a GGUF file of the original. Each tower numbers its blocks from 0.
 */
function sourceName(name: string, model: T5Model, changes: Changes): string {
  const { encoderBlocks = 0 } = model.summary;
  const { encoder: kept } = towerBlocks(model.summary, changes.blocks);
  return name.replace(/^(enc|dec)\.blk\.(\d+)/, (_, tower: string, block: string) => {
    const [first, before] = tower === 'dec' ? [kept, encoderBlocks] : [0, 0];
    return `${tower}.blk.${(changes.blocks[first + Number(block)] ?? 0) - before}`;
  });
}

const whyAbsent = ({ absent: [lacking] }: Changes): Refusal | undefined =>
  lacking === undefined
    ? undefined
    : {
        code: 'single-sublayers',
        reason: say`llama.cpp needs every sublayer in every block of a t5 model, but ${lacking} is absent.`,
        remedy: say`Choose another format.`,
      };

const ownHead = say`Its head is a separate matrix, scaled in training: llama.cpp doesn't scale the input of a tied head.`;

async function t5Writer(
  source: T5Source,
  changes: Changes,
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const { model } = source;
  const config = configFields(source);
  const heads = headCount(config);
  const { encoder, decoder } = towerBlocks(model.summary, changes.blocks);
  const architecture = model.kind === 'encoder-decoder' ? t5InGguf.both : t5InGguf.encoder;
  const tensors = planTensors(model, source.checkpoint, changes);
  const { placed, leftOut } = placeT5(model, tensors, config);
  warnLeftOut(leftOut, context);
  const tied = tiedHead(model);
  const added = tied === undefined ? 0 : elementCount(tied.shape);
  return folderFileWriter(
    source,
    {
      ...{ changes, placed, layout: 'blocks', further: [], tokenizer: undefined, roundingError: 0 },
      parameters: parametersAfter(model, changes) + added,
      facts: {
        ...{ architecture, blocks: encoder, experts: 0 },
        ...{ heads, keyValueHeads: heads },
      },
      sourceName: (name) => sourceName(name, model, changes),
      entries: async (fileType) => [
        ...writeHeader(architecture, model.summary, config, {
          ...{ encoder, decoder, fileType },
          inner: Object.values(changes.widths)[0],
        }),
        ...(model.kind === 'encoder' ? await encoderEntries(architecture, model) : []),
      ],
      notes: [tied === undefined || headScale(model) === 1 ? undefined : ownHead],
    },
    options,
    context,
  );
}

/** Scale of the head's input. */
const headScale = (model: T5Model): number =>
  model.kind === 'encoder-decoder' ? model.layout.scales.head : 1;

/** The embedding, if it is also the LM head. */
function tiedHead(model: T5Model): LazyTensor | undefined {
  if (model.kind === 'encoder') {
    return undefined;
  }
  const { head, targetWords } = model.layout;
  return head !== undefined && isTied(targetWords, head.linear) ? targetWords.weight : undefined;
}

/** Tensors under their names in the file, with a head of their own; and those that the model doesn't use. */
function placeT5(
  model: T5Model,
  tensors: readonly PlannedTensor[],
  config: ConfigFields,
): { readonly placed: readonly PlacedTensor[]; readonly leftOut: readonly string[] } {
  const nameInFile = t5PlaceInGguf(config);
  const { computed, unused } = model.layout;
  const scale = headScale(model);
  const scaled = scale === 1 ? {} : { changed: (value: number) => value * scale };
  const head = 'output.weight';
  const placed = tensors.flatMap(({ name, tensor }): PlacedTensor[] => {
    const fileName = nameInFile(name);
    return fileName === undefined || [...computed, ...unused].includes(tensor.name)
      ? []
      : [
          {
            ...{ name: fileName, stored: tensor },
            ...allRows(tensor),
            ...(fileName === head ? scaled : {}),
          },
        ];
  });
  const tied = tiedHead(model);
  return {
    placed:
      tied === undefined
        ? placed
        : [...placed, { name: head, stored: tied, ...allRows(tied), ...scaled }],
    leftOut: unused,
  };
}

/** Entries about the model, as the conversion writes them (conversion/t5.py). */
function writeHeader(
  architecture: keyof typeof t5Fields,
  { name, vocabularySize = 0 }: ModelSummary,
  config: ConfigFields,
  {
    encoder,
    decoder,
    inner,
    fileType,
  }: Readonly<Record<'encoder' | 'decoder' | 'fileType', number>> & {
    readonly inner: number | undefined;
  },
): readonly Buffer[] {
  const { hidden_size: hidden, pad_token_id: padding, rms_norm_eps: epsilon } = config;
  const headDim = Number(config['head_dim'] ?? Number(hidden) / headCount(config));
  const changed: ConfigFields = {
    ...{ vocab_size: vocabularySize, head_dim: headDim },
    ...{ num_hidden_layers: encoder, encoder_layers: encoder, decoder_layers: decoder },
    decoder_start_token_id: config['decoder_start_token_id'] ?? padding ?? 0,
    ...(inner === undefined
      ? {}
      : { intermediate_size: inner, encoder_ffn_dim: inner, decoder_ffn_dim: inner }),
  };
  const entries = new HeaderEntries(architecture);
  entries.general(name, fileType);
  for (const [field, key] of Object.entries(t5Fields[architecture])) {
    const value = Number(changed[field] ?? config[field]);
    if (field === 'rms_norm_eps') {
      entries.float(key, value);
    } else {
      entries.integer(key, value);
    }
  }
  const { max_position_embeddings: length = config['n_positions'] ?? defaultLength } = config;
  entries.integer(ggufFields.max_position_embeddings, Number(length));
  entries.integer(valueLength, headDim);
  entries.float(layerNormEpsilon, Number(epsilon));
  return entries.bytes();
}

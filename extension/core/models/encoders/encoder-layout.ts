import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import type { AttentionShape } from '../parts/attention';
import type { FeedforwardShape } from '../parts/feedforward';
import type { Linear } from '../parts/linear';
import type { Norm, NormStyle } from '../parts/norm';
import type { OuterLinears } from '../transformer/outer-matrices';
import { describedForms, TensorFinder } from '../transformer/tensor-finder';
import { findAttention, findFeedforward, readShapes } from '../parts/branches';
import { findPatchSublayer } from '../transformer/transformer-layout';
import type { TransformerSublayer } from '../transformer/transformer-layout';
import { patchModulesOf } from './encoder-architecture';
import type { EncoderArchitecture, HeadForm, HeadStep } from './encoder-architecture';
import { sides } from './encoder-config';
import type { EncoderConfig } from './encoder-config';
import { say } from '../../message';

/** What turns the inputs into the first hidden states, with its weights found. */
export type EncoderEmbedding =
  | {
      readonly kind: 'text';
      readonly words: Linear;
      readonly positions: LazyTensor;
      /** Of segments, where the family has them. */
      readonly types: LazyTensor | undefined;
      /** Id of the padding that positions pass over, counting on from it; undefined: all from 0. */
      readonly padding: number | undefined;
    }
  | {
      readonly kind: 'image';
      /** [hidden, channels, height, width] of a patch. */
      readonly patches: Linear;
      readonly classToken: LazyTensor;
      readonly positions: LazyTensor;
      /** [channels, height, width] */
      readonly image: readonly [number, number, number];
    };

/** A linear layer of the head with its weights found. */
export interface EncoderHeadStep {
  /** Name of its weight, also where the embedding stands for it. */
  readonly id: string;
  readonly linear: Linear;
  readonly activation: string | undefined;
  readonly norm: Norm | undefined;
}

/** An encoder whose every tensor has been found in the checkpoint. */
export interface EncoderLayout {
  readonly norm: NormStyle;
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly embedding: EncoderEmbedding;
  /** Norms in front of the first sublayer: the embedding's, and those of removed sublayers. */
  readonly startNorms: readonly Norm[];
  readonly finalNorm: Norm | undefined;
  /** The head, or undefined where the output is the last hidden states. */
  readonly head:
    { readonly first: boolean; readonly steps: readonly EncoderHeadStep[] } | undefined;
  /** Whether the family ties this head to the embedding, if config.json does not say otherwise. */
  readonly canTie: boolean;
  /** Most positions of a text. */
  readonly maxPositions: number | undefined;
  readonly sublayers: readonly TransformerSublayer[];
  readonly blocksPrefix: string;
  /** Modules of a block whose places patches take. */
  readonly patchModules: Readonly<Record<'attention' | 'feedforward', string>>;
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/** Older exports store the numbers of the positions, and a tied bias twice. */
const isComputed = (name: string): boolean =>
  /embeddings\.position_ids$|\.decoder\.bias$/.test(name);

/**
 * Finds every tensor that `architecture` needs and checks its shape.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutEncoder(
  architecture: EncoderArchitecture,
  config: EncoderConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): EncoderLayout {
  const { attention, feedforward } = readShapes(
    { ...architecture, norm: 'layer' },
    config,
    folder,
    {},
  );
  const { hiddenSize: hidden, norm } = attention;
  const hasPrefix = [...checkpoint.tensors.keys()].some((name) =>
    name.startsWith(architecture.prefix),
  );
  const prefix = hasPrefix ? architecture.prefix : '';
  const blocksPrefix = `${prefix}${architecture.blocks}.`;
  const tensors = new TensorFinder(
    checkpoint,
    { norm: 'layer' },
    describedForms(config.espalier?.compressed, blocksPrefix, folder.config),
  );
  const embedding = findEmbedding(architecture, config, folder, tensors, prefix);
  const biases = architecture.biases(config);
  const removed = new Set(config.espalier?.removed ?? []);
  const patchModules = patchModulesOf(architecture);
  const absent: string[] = [];
  const sublayers: TransformerSublayer[] = [];
  const startNorms = findStartNorms(architecture, tensors, prefix, hidden);
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const place = `${blocksPrefix}${block}.`;
    const add = (
      kind: keyof EncoderLayout['patchModules'],
      find: () => TransformerSublayer,
    ): void => {
      const id = `block.${block}.${kind}`;
      const patch = config.espalier?.patches?.[id];
      const { sumNorm } = architecture[kind];
      const sumNorms = (): readonly Norm[] =>
        sumNorm === undefined ? [] : [tensors.norm(`${place}${sumNorm}`, hidden)];
      if (patch !== undefined) {
        const at = { block, place: kind };
        const module = `${place}${patchModules[kind]}`;
        sublayers.push(findPatchSublayer(tensors, patch, at, hidden, module, sumNorms()));
      } else if (removed.has(id)) {
        absent.push(id);
        const before = sublayers.pop();
        if (before === undefined) {
          startNorms.push(...sumNorms());
        } else {
          sublayers.push(withSumNorms(before, sumNorms()));
        }
      } else {
        sublayers.push(find());
      }
    };
    add('attention', () => ({
      kind: 'attention',
      block,
      weights: findAttention(architecture.attention, biases, tensors, place, attention),
      slidingWindow: undefined,
      rotary: undefined,
    }));
    add('feedforward', () => ({
      kind: 'feedforward',
      block,
      weights: findFeedforward(architecture.feedforward, biases, tensors, place, {
        hidden,
        inner: config.intermediate_size,
      }),
    }));
  }
  const form = headForm(architecture, config);
  const head = form && {
    first: form.first,
    steps: form.steps.map((step) => findStep(step, config, tensors, embedding)),
  };
  tensors.requireAllForms();
  const { finalNorm } = architecture;
  return {
    norm,
    attention,
    feedforward,
    embedding,
    startNorms,
    finalNorm: finalNorm === undefined ? undefined : tensors.norm(`${prefix}${finalNorm}`, hidden),
    head,
    canTie: form?.steps.some(({ tied }) => tied) === true,
    maxPositions:
      embedding.kind === 'text'
        ? config.max_position_embeddings - (embedding.padding ?? -1) - 1
        : undefined,
    sublayers,
    blocksPrefix,
    patchModules,
    absent,
    unused: tensors.unused().filter((name) => !isComputed(name)),
    computed: tensors.unused().filter(isComputed),
  };
}

function findStartNorms(
  { embedding }: EncoderArchitecture,
  tensors: TensorFinder,
  prefix: string,
  hidden: number,
): Norm[] {
  return embedding.kind === 'text' ? [tensors.norm(`${prefix}${embedding.norm}`, hidden)] : [];
}

/** The sublayer with norms behind its own. */
function withSumNorms<Sublayer extends TransformerSublayer>(
  sublayer: Sublayer,
  norms: readonly Norm[],
): Sublayer {
  const { weights } = sublayer;
  return {
    ...sublayer,
    weights: { ...weights, sumNorms: [...(weights.sumNorms ?? []), ...norms] },
  };
}

/** The matrices outside the sublayers. */
export function outerOf({
  embedding,
  head,
}: Pick<EncoderLayout, 'embedding' | 'head'>): OuterLinears {
  return {
    embedding: embedding.kind === 'text' ? embedding.words : undefined,
    heads: head?.steps ?? [],
  };
}

/** Prefix of the classes in modeling_espalier.py; see export/. */
export const prunedClassPrefix = 'Espalier';

/** The head of the class that config.json names, if it is known. */
export function headForm(
  { heads }: EncoderArchitecture,
  { architectures }: Pick<EncoderConfig, 'architectures'>,
): HeadForm | undefined {
  const [name = ''] = architectures ?? [];
  return heads.find((form) => form.class === name.replace(prunedClassPrefix, ''));
}

function findEmbedding(
  { embedding }: EncoderArchitecture,
  config: EncoderConfig,
  folder: ModelFolder,
  tensors: TensorFinder,
  prefix: string,
): EncoderEmbedding {
  const { hidden_size: hidden } = config;
  const table = (name: string, rows: number): LazyTensor =>
    tensors.take(`${prefix}${name}.weight`, [rows, hidden]);
  if (embedding.kind === 'text') {
    return {
      kind: 'text',
      words: tensors.outer(
        'embedding',
        `${prefix}${embedding.words}`,
        required(config.vocab_size, 'vocab_size', folder),
        hidden,
      ),
      positions: table(embedding.positions, config.max_position_embeddings),
      types:
        embedding.types === undefined ? undefined : table(embedding.types, config.type_vocab_size),
      padding: embedding.positionsSkipPadding
        ? required(config.pad_token_id ?? undefined, 'pad_token_id', folder)
        : undefined,
    };
  }
  const [height, width] = sides(config.image_size);
  const [patchHeight, patchWidth] = sides(config.patch_size);
  const { num_channels: channels } = config;
  const count = Math.trunc(height / patchHeight) * Math.trunc(width / patchWidth);
  const patches = `${prefix}${embedding.patches}`;
  return {
    kind: 'image',
    patches: {
      weight: tensors.take(`${patches}.weight`, [hidden, channels, patchHeight, patchWidth]),
      bias: tensors.take(`${patches}.bias`, [hidden]),
    },
    classToken: tensors.take(`${prefix}${embedding.classToken}`, [1, 1, hidden]),
    positions: tensors.take(`${prefix}${embedding.positions}`, [1, count + 1, hidden]),
    image: [channels, height, width],
  };
}

function findStep(
  step: HeadStep,
  config: EncoderConfig,
  tensors: TensorFinder,
  embedding: EncoderEmbedding,
): EncoderHeadStep {
  const { hidden_size: hidden } = config;
  const words = embedding.kind === 'text' ? embedding.words : undefined;
  const vocabulary = words?.weight.shape[0] ?? 0;
  const rows = { hidden, vocabulary, labels: tensors.rows(step.name) };
  const out = rows[step.out];
  const tied = step.tied === true && config.tie_word_embeddings ? words : undefined;
  const matrix =
    tied === undefined || tensors.hasMatrix(step.name)
      ? tensors.outer('head', step.name, out, hidden)
      : tied;
  return {
    id: `${step.name}.weight`,
    linear: { ...matrix, bias: tensors.take(step.bias ?? `${step.name}.bias`, [out]) },
    activation: step.activation === 'hidden_act' ? config.hidden_act : step.activation,
    norm: step.norm === undefined ? undefined : tensors.norm(step.norm, out),
  };
}

function required(value: number | undefined, field: string, folder: ModelFolder): number {
  if (value === undefined) {
    throw new UserError(say`The field is missing.`, {
      file: folder.config,
      field,
      remedy: say`Correct the field: the model cannot be computed without it.`,
    });
  }
  return value;
}

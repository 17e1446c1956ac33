import type { Refusal } from '../../models/capability';
import { chosenRate, noneChoosing } from '../../models/gguf/compressed/deepseek4';
import {
  choosesNone,
  isTurnedAt,
  noneUnturned,
  noQueryNorms,
  otherQueries,
  readsPlainQueries,
  tiedHead,
} from '../../models/gguf/gguf-demands';
import { denseBlocks } from '../../models/gguf/gguf-fields';
import { requiredKind } from '../../models/gguf/gguf-mixers';
import { rates } from '../../models/families/mixtures/deepseek-v4';
import { hasExperts } from '../../models/gguf/placing';
import { allWindowed, hasWindows, noneWindowed } from '../../models/gguf/gguf-windows';
import { configOfLayerType } from '../../models/parts/rotary';
import type { Changes } from '../changes';
import { partsOf, sizesOf } from './folder-model';
import type { FolderModel } from './folder-model';
import { fullRope, rotaryOf, scalingOf, thetaOf, writtenScalings } from './rotary-header';
import { say } from '../../message';
import type { Message } from '../../message';

type Refuse = (field: string, reason: Message) => Refusal;

/** Why llama.cpp would compute the family, but not this model of it. */
export function whyNotComputed(model: FolderModel, changes: Changes): Refusal | undefined {
  const refuse: Refuse = (field, reason) => ({
    ...{ code: 'not-in-gguf', file: model.configFile, field, reason },
    remedy: say`Choose another format.`,
  });
  return (
    whyOtherScaling(model, refuse) ??
    whyOtherTables(model, changes, refuse) ??
    whyOtherRuns(model, changes, refuse) ??
    whyOtherValue(model, refuse) ??
    whyOtherExperts(model, changes, refuse) ??
    whyOtherMixers(model, changes, refuse) ??
    whyOtherTurns(model, changes, refuse) ??
    whyOtherNorms(model, changes, refuse) ??
    whyOtherQueries(model, changes, refuse) ??
    whyOtherWindows(model, changes, refuse) ??
    whyOtherChoice(model, changes, refuse) ??
    whyOwnHead(model, !model.config.tie_word_embeddings)
  );
}

/** @param hasHead whether the head is another matrix than the embedding */
export function whyOwnHead(
  { target, configFile }: Pick<FolderModel, 'target' | 'configFile'>,
  hasHead: boolean,
): Refusal | undefined {
  return target.family.tiesHead === true && hasHead
    ? {
        ...{ code: 'not-in-gguf', file: configFile, field: 'tie_word_embeddings' },
        reason: tiedHead(target.architecture),
        remedy: say`Choose another format.`,
      }
    : undefined;
}

function whyOtherScaling(
  { config, architecture, target }: FolderModel,
  refuse: Refuse,
): Refusal | undefined {
  const scaling = scalingOf(config);
  const { roundsYarn = true } = target.family;
  const written = writtenScalings(target.family, architecture.modelType);
  if (architecture.rotary === 'none') {
    return undefined;
  }
  if (!written.includes(scaling)) {
    return refuse(
      'rope_parameters',
      say`Rotary scaling "${scaling}" can't be written to GGUF files, only ${written.join(', ')}.`,
    );
  }
  const { truncate } = fullRope(config);
  return scaling === 'yarn' && (truncate ?? true) !== roundsYarn
    ? refuse(
        'rope_parameters.truncate',
        otherValue(target.architecture, roundsYarn, truncate ?? true),
      )
    : undefined;
}

const otherValue = (architecture: string, known: unknown, value: unknown): Message =>
  say`llama.cpp computes ${architecture} models with ${JSON.stringify(known)} here, not ${JSON.stringify(value)}.`;

/** What llama.cpp takes for granted of a family. */
function whyOtherValue(
  { config, architecture, target }: FolderModel,
  refuse: Refuse,
): Refusal | undefined {
  const { hidden_act: activation = 'silu' } = architecture.config?.defaults?.({}) ?? {};
  const { activations = [activation] } = target.family;
  if (!activations.includes(config.hidden_act)) {
    return refuse(
      'hidden_act',
      say`llama.cpp computes ${target.architecture} models with ${activations.join(', ')}, not ${config.hidden_act}.`,
    );
  }
  const fields: Readonly<Record<string, unknown>> = config;
  for (const [field, known] of Object.entries(target.family.demands?.(config) ?? {})) {
    const value = fields[field] ?? known;
    if (value !== known) {
      return refuse(
        architecture.config?.names?.[field] ?? field,
        otherValue(target.architecture, known, value),
      );
    }
  }
  return undefined;
}

function whyOtherExperts(
  model: FolderModel,
  { blocks, expertCounts }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { architecture, config, target } = model;
  const { experts } = architecture;
  if (experts === undefined || !hasExperts(architecture, config)) {
    return undefined;
  }
  if (new Set(expertCounts.values()).size > 1) {
    return refuse(
      'num_experts',
      say`A GGUF file has as many experts in every block of a ${target.architecture} model.`,
    );
  }
  const {
    fields = {},
    normsExpertWeights = false,
    sparseEvery,
    sparseByTensors = false,
    hasSingles = false,
    saysGating,
  } = target.family;
  const normed = (is: boolean): boolean | undefined =>
    experts.routing?.({ ...config, norm_topk_prob: is }).normalized;
  if (
    fields['norm_topk_prob'] === undefined &&
    saysGating !== true &&
    normed(config.norm_topk_prob) !== normed(normsExpertWeights)
  ) {
    return refuse(
      'norm_topk_prob',
      otherValue(target.architecture, normsExpertWeights, config.norm_topk_prob),
    );
  }
  const sparse = blocks.map((block) => partsOf(model, block).includes('expert'));
  const every = Number((config as Readonly<Record<string, unknown>>)[sparseEvery ?? ''] ?? 1);
  const dense = Object.values(fields).includes(denseBlocks) ? sparse.filter((is) => !is).length : 0;
  const isMeant = (block: number): boolean => block >= dense && (block + 1) % every === 0;
  const other = hasSingles
    ? blocks.findIndex((block) => partsOf(model, block).includes('feedforward'))
    : sparse.findIndex((is, block) => !sparseByTensors && is !== isMeant(block));
  return other < 0
    ? undefined
    : refuse(
        'num_experts',
        sparse[other] === true
          ? say`llama.cpp expects a dense feed-forward in block ${other} of this ${target.architecture} model, and block ${blocks[other] ?? 0} has experts.`
          : say`llama.cpp expects experts in block ${other} of this ${target.architecture} model, and block ${blocks[other] ?? 0} has a dense feed-forward.`,
      );
}

function whyOtherTables(
  { architecture, config, target }: FolderModel,
  { blocks }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const hasTable = blocks.map(
    (block) => architecture.experts?.byToken?.isOf(config, block) === true,
  );
  const first = hasTable.indexOf(false);
  const other = first < 0 ? -1 : hasTable.indexOf(true, first);
  return other < 0
    ? undefined
    : refuse(
        'mlp_layer_types',
        say`llama.cpp expects the blocks of ${target.architecture} models whose experts a table chooses in front, and block ${blocks[other] ?? 0} comes after one without a table.`,
      );
}

function whyOtherRuns(
  { architecture, config, target }: FolderModel,
  { blocks }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { compressed } = architecture;
  if (compressed === undefined) {
    return undefined;
  }
  const type = (block: number): string => config.layer_types?.[block] ?? '';
  const rate = (block: number): number | undefined => compressed(config, block).rate;
  const other = blocks.find((block) => rate(block) !== rates[type(block)]);
  if (other !== undefined) {
    return refuse(
      'compress_rates',
      otherValue(target.architecture, rates[type(other)], rate(other)),
    );
  }
  return blocks.some((block) => rate(block) === chosenRate)
    ? undefined
    : refuse('layer_types', noneChoosing(target.architecture));
}

/** Least bound of steps that makes little difference. */
const leastStep = 0.001;

const stepLimitsOf = ({ architecture, config }: FolderModel): readonly [number, number] => {
  const form = architecture.mixer?.form(config);
  return (form?.kind === 'state-space' ? form.stepLimits : undefined) ?? [0, Infinity];
};

/** Whether transformers bounds the steps of mixers from below. */
export const hasLeastStep = (model: FolderModel): boolean => stepLimitsOf(model)[0] > 0;

function whyOtherMixers(
  model: FolderModel,
  { blocks }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { architecture, config, target } = model;
  const form = architecture.mixer?.form(config);
  if (form === undefined) {
    return undefined;
  }
  const [low, high] = stepLimitsOf(model);
  if (low > leastStep || high !== Infinity) {
    return refuse(
      'time_step_limit',
      say`llama.cpp computes the steps of ${target.architecture} models without bounds.`,
    );
  }
  const { mixed, doublesWidth = false } = target.family;
  const width = form.kind === 'selective-scan' ? form.width : 0;
  if (doublesWidth && width !== 2 * config.hidden_size) {
    return refuse(
      'hidden_size',
      say`llama.cpp computes ${target.architecture} models whose mixers have twice the hidden size, not ${width} channels.`,
    );
  }
  const kinds = new Set(blocks.flatMap((block) => partsOf(model, block)));
  const missing = (['attention', 'mixer'] as const).find((kind) => !kinds.has(kind));
  return mixed === undefined || missing === undefined
    ? undefined
    : refuse('layer_types', requiredKind(target.architecture, missing));
}

function whyOtherTurns(
  { config, architecture, target }: FolderModel,
  changes: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { turns = () => true } = architecture;
  const { windows, unturned, needsUnturned = false } = target.family;
  const turnsByWindow = windows !== undefined && unturned === undefined;
  const other = changes.blocks.findIndex(
    (source, block) => !turnsByWindow && turns(config, source) !== isTurnedAt(unturned, block),
  );
  if (other >= 0) {
    return refuse(
      'num_hidden_layers',
      say`llama.cpp skips the rotary embedding of ${target.architecture} models by block number: block ${changes.blocks[other] ?? 0} would become block ${other}.`,
    );
  }
  return needsUnturned && changes.blocks.length < (unturned ?? 0)
    ? refuse('num_hidden_layers', noneUnturned(target.architecture))
    : undefined;
}

function whyOtherNorms(
  { config, target }: FolderModel,
  changes: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { queryNormsFrom = 0 } = target.family;
  if (config.use_qk_norm === true && changes.blocks.length < queryNormsFrom) {
    return refuse('use_qk_norm', noQueryNorms(target.architecture, queryNormsFrom));
  }
  return config.qk_layernorm === true
    ? refuse(
        'qk_layernorm',
        say`A GGUF file holds the query and key norms of all heads in one tensor, the folder one for each head.`,
      )
    : undefined;
}

function whyOtherQueries(
  { config, architecture, target }: FolderModel,
  { blocks }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { plainQueriesAt } = target.family;
  const latent = architecture.latent?.(config);
  if (plainQueriesAt === undefined || latent === undefined) {
    return undefined;
  }
  const isPlain = latent.queryRank === undefined;
  return readsPlainQueries(plainQueriesAt, blocks.length, config.vocab_size) === isPlain
    ? undefined
    : refuse('q_lora_rank', otherQueries(target.architecture, isPlain, blocks.length));
}

function whyOtherWindows(
  model: FolderModel,
  changes: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { config, architecture, target } = model;
  const { windows } = target.family;
  const { heads, headDim } = sizesOf(config);
  const hasWindow = changes.blocks.some(
    (block) => architecture.slidingWindow(config, block) !== undefined,
  );
  if (windows === undefined || !hasWindows(windows, changes.blocks.length)) {
    return hasWindow
      ? refuse(
          'sliding_window',
          say`llama.cpp computes ${target.architecture} models without a window.`,
        )
      : undefined;
  }
  if (!hasWindow) {
    return windows.mayLack === true
      ? undefined
      : refuse('layer_types', noneWindowed(target.architecture));
  }
  const scaling = scalingOf(config, 'sliding_attention');
  if (windows.ownRotary === 'unscaled' && scaling !== 'default') {
    return refuse(
      'rope_parameters.sliding_attention.rope_type',
      otherValue(target.architecture, 'default', scaling),
    );
  }
  const [theta, windowedTheta] = ['full_attention', 'sliding_attention'].map((type) =>
    thetaOf(configOfLayerType(config, type)),
  );
  if (windows.ownRotary === 'unscaled' && theta !== windowedTheta) {
    return refuse(
      'rope_parameters.sliding_attention.rope_theta',
      otherValue(target.architecture, theta, windowedTheta),
    );
  }
  const { hasOwnWindowHeads = false } = target.family;
  const [dimensions, windowedDimensions] = ['full_attention', 'sliding_attention'].map(
    (type) => rotaryOf(model, type).dimensions,
  );
  if (
    windows.ownRotary === true &&
    windows.ownShare !== true &&
    !hasOwnWindowHeads &&
    dimensions !== windowedDimensions
  ) {
    return refuse(
      'rope_parameters.sliding_attention.partial_rotary_factor',
      say`llama.cpp turns as many dimensions of ${target.architecture} models in blocks with windows as in others, ${dimensions ?? 0}, not ${windowedDimensions ?? 0}.`,
    );
  }
  const sees = (block: number): boolean => architecture.slidingWindow(config, block) === undefined;
  if (windows.needsFull === true && !changes.blocks.some(sees)) {
    return refuse('layer_types', allWindowed(target.architecture));
  }
  const { scaledByWidthAt } = windows;
  const width = changes.blocks.length === scaledByWidthAt ? config.hidden_size / heads : headDim;
  return scaledByWidthAt === undefined || (config.query_pre_attn_scalar ?? headDim) === width
    ? undefined
    : refuse(
        'query_pre_attn_scalar',
        say`llama.cpp scales the attention of a ${target.architecture} model of ${changes.blocks.length} blocks by ${width}.`,
      );
}

function whyOtherChoice(
  { config, target }: FolderModel,
  { blocks: [first = 0] }: Changes,
  refuse: Refuse,
): Refusal | undefined {
  const { setFirst = '', blockFlags } = target.family;
  return blockFlags?.[setFirst]?.(config, first) === false
    ? refuse('indexer_types', choosesNone(target.architecture, first))
    : undefined;
}

import { defaultCompressionRates } from '../../../models/families/mixtures/deepseek-v4';
import { farthestInGguf } from '../../../models/gguf/t5-families';
import { isGated } from '../../../models/seq2seq/t5';
import { hasWindows } from '../../../models/gguf/gguf-windows';
import { layerTypeConfig } from '../../../models/parts/rotary';
import type { MixerForm } from '../../../models/parts/mixers/mixer-form';
import {
  fullRope,
  rotaryParameters,
  ropeScaling,
  ropeTheta,
  writtenScalings,
} from '../rotary-header';
import { hasMixture, hasWindow, isArchitecture } from './rule';
import type { LlamaCppFacts, LlamaCppRule } from './rule';
import type { Changes } from '../../changes';
import { say } from '../../../message';
import type { Message } from '../../../message';

const isT5 = ({ target }: LlamaCppFacts): boolean => target.family.towers !== undefined;

const otherValue = (architecture: string, known: unknown, value: unknown): Message =>
  say`llama.cpp runs ${architecture} models with ${JSON.stringify(known)} here, not ${JSON.stringify(value)}.`;

const mixerForm = ({ architecture, config }: LlamaCppFacts): MixerForm | undefined =>
  architecture.mixer?.form(config);

/** Smallest step bound with a noticeable effect. */
const leastStep = 0.001;

const stepLimits = (facts: LlamaCppFacts): readonly [number, number] => {
  const form = mixerForm(facts);
  return (form?.kind === 'state-space' ? form.stepLimits : undefined) ?? [0, Infinity];
};

/** True if transformers limits the time step Δ of state-space layers from below. */
export const hasLeastStep = (facts: LlamaCppFacts): boolean => stepLimits(facts)[0] > 0;

const windowsApply = (facts: LlamaCppFacts, { blocks }: Changes): boolean => {
  const { windows } = facts.target.family;
  return (
    windows !== undefined &&
    hasWindows(windows, blocks.length) &&
    blocks.some((block) => hasWindow(facts, block))
  );
};

/** Values that llama.cpp has built in, so that only a config.json can differ from them: headers cannot say them. */
export const valueRules: readonly LlamaCppRule[] = [
  {
    field: 'rope_parameters',
    applies: ({ architecture }) => architecture.rotary !== 'none',
    check: ({ architecture, config, target }) => {
      const scaling = ropeScaling(config);
      const written = writtenScalings(target.family, architecture.modelType);
      return written.includes(scaling)
        ? undefined
        : {
            reason: say`Rotary scaling "${scaling}" can't be written to GGUF files, only ${written.join(', ')}.`,
          };
    },
  },
  {
    field: 'rope_parameters.truncate',
    applies: ({ architecture, config }) =>
      architecture.rotary !== 'none' && ropeScaling(config) === 'yarn',
    check: ({ config, target }) => {
      const { roundsYarn = true } = target.family;
      const { truncate } = fullRope(config);
      return (truncate ?? true) === roundsYarn
        ? undefined
        : { reason: otherValue(target.architecture, roundsYarn, truncate ?? true) };
    },
  },
  {
    field: 'compress_rates',
    applies: ({ architecture }) => architecture.compressed !== undefined,
    check: ({ architecture, config, target }, { blocks }) => {
      const known = (block: number): number | undefined =>
        defaultCompressionRates[config.layer_types?.[block] ?? ''];
      const rate = (block: number): number | undefined =>
        architecture.compressed?.(config, block).rate;
      const other = blocks.find((block) => rate(block) !== known(block));
      return other === undefined
        ? undefined
        : { reason: otherValue(target.architecture, known(other), rate(other)) };
    },
  },
  {
    field: 'relative_attention_max_distance',
    applies: isT5,
    check: ({ config: { relative_attention_max_distance: farthest } }) =>
      farthest === farthestInGguf
        ? undefined
        : {
            reason: say`llama.cpp treats all distances above ${farthestInGguf} as equal, not above ${Number(farthest)}.`,
          },
  },
  {
    field: 'feed_forward_proj',
    applies: isT5,
    check: ({ config }) =>
      config.hidden_act === (isGated(config) ? 'gelu_new' : 'relu')
        ? undefined
        : { reason: say`llama.cpp runs t5 models with relu or gated-gelu only.` },
  },
  {
    field: 'hidden_act',
    check: ({ architecture, config, target }) => {
      const { hidden_act: activation = 'silu' } = architecture.config?.defaults?.({}) ?? {};
      const { activations = [activation] } = target.family;
      return activations.includes(config.hidden_act)
        ? undefined
        : {
            reason: say`llama.cpp runs ${target.architecture} models with ${activations.join(', ')}, not ${config.hidden_act}.`,
          };
    },
  },
  {
    field: 'model_type',
    check: ({ architecture, config, target }) => {
      const fields: Readonly<Record<string, unknown>> = config;
      const demands = Object.entries(target.family.demands?.(config) ?? {});
      const [field, known] =
        demands.find(([name, value]) => (fields[name] ?? value) !== value) ?? [];
      return field === undefined
        ? undefined
        : {
            field: architecture.config?.names?.[field] ?? field,
            reason: otherValue(target.architecture, known, fields[field]),
          };
    },
  },
  {
    field: 'norm_topk_prob',
    applies: (facts) =>
      hasMixture(facts) &&
      facts.target.family.fields?.['norm_topk_prob'] === undefined &&
      facts.target.family.storesGating !== true,
    check: ({ architecture, config, target }) => {
      const { normsExpertWeights = false } = target.family;
      const isNormalized = (is: boolean): boolean | undefined =>
        architecture.experts?.routing?.({ ...config, norm_topk_prob: is }).normalized;
      return isNormalized(config.norm_topk_prob) === isNormalized(normsExpertWeights)
        ? undefined
        : { reason: otherValue(target.architecture, normsExpertWeights, config.norm_topk_prob) };
    },
  },
  {
    field: 'time_step_limit',
    applies: (facts) => mixerForm(facts) !== undefined,
    check: (facts) => {
      const [low, high] = stepLimits(facts);
      return low <= leastStep && high === Infinity
        ? undefined
        : {
            reason: say`llama.cpp runs the steps of ${facts.target.architecture} models without bounds.`,
          };
    },
  },
  {
    field: 'hidden_size',
    applies: isArchitecture('mamba', 'jamba'),
    check: (facts) => {
      const form = mixerForm(facts);
      const width = form?.kind === 'selective-scan' ? form.width : 0;
      return width === 2 * facts.config.hidden_size
        ? undefined
        : {
            reason: say`llama.cpp runs ${facts.target.architecture} models whose SSM layers have twice the hidden size, not ${width} channels.`,
          };
    },
  },
  {
    field: 'qk_layernorm',
    check: ({ config }) =>
      config.qk_layernorm === true
        ? {
            reason: say`A GGUF file stores the query and key norms of all heads in one tensor, the folder has one for each head.`,
          }
        : undefined,
  },
  {
    field: 'rope_parameters.sliding_attention.rope_type',
    applies: ({ target }) => target.family.windows?.ownRotary === 'unscaled',
    check: (facts, changes) => {
      const scaling = ropeScaling(facts.config, 'sliding_attention');
      return scaling === 'default' || !windowsApply(facts, changes)
        ? undefined
        : { reason: otherValue(facts.target.architecture, 'default', scaling) };
    },
  },
  {
    field: 'rope_parameters.sliding_attention.rope_theta',
    applies: ({ target }) => target.family.windows?.ownRotary === 'unscaled',
    check: (facts, changes) => {
      const [theta, windowed] = ['full_attention', 'sliding_attention'].map((type) =>
        ropeTheta(layerTypeConfig(facts.config, type)),
      );
      return theta === windowed || !windowsApply(facts, changes)
        ? undefined
        : { reason: otherValue(facts.target.architecture, theta, windowed) };
    },
  },
  {
    field: 'rope_parameters.sliding_attention.partial_rotary_factor',
    applies: ({ target: { family } }) =>
      family.windows?.ownRotary === true && family.windows.ownShare !== true,
    check: (facts, changes) => {
      const [dimensions = 0, windowed = 0] = ['full_attention', 'sliding_attention'].map(
        (type) => rotaryParameters(facts, type).dimensions,
      );
      return dimensions === windowed || !windowsApply(facts, changes)
        ? undefined
        : {
            reason: say`llama.cpp rotates ${dimensions} dimensions of each head in all blocks of ${facts.target.architecture} models, not ${windowed} in sliding-window blocks.`,
          };
    },
  },
  {
    field: 'tie_word_embeddings',
    applies: ({ target }) => target.family.tiesHead === true,
    check: ({ config, target }) =>
      config.tie_word_embeddings
        ? undefined
        : {
            reason: say`llama.cpp uses the token embedding of ${target.architecture} models as their LM head. This model has a separate LM head.`,
          },
  },
];

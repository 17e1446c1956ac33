import { deciConfig, whyNotDeci } from './deci-config';
import { describeLoading, rewriteConfig } from './pruned-config';
import { isUneven, needsModule } from './removal';
import type { Refusal, Removal } from './removal';
import { planTensors, planZeroed } from './weight-plan';
import type { PlannedTensor } from './weight-plan';
import type { CheckpointSource } from './weight-writers';

/** Ways in which a result can say which sublayers it lacks. */
export const dialectNames = ['blocks', 'auto-map', 'deci', 'per-layer-config', 'zeroed'] as const;
export type DialectName = (typeof dialectNames)[number];

/** How a Hugging Face folder writes a removal down. */
export interface Dialect {
  readonly name: DialectName;
  /** Whether the removed weights stay in the files, with zeros where they lead out. */
  readonly keepsWeights: boolean;
  /** Why the removal cannot be said; undefined where it can. */
  readonly refuse: (source: CheckpointSource, removal: Removal) => Refusal | undefined;
  readonly config: (configText: string, removal: Removal, source: CheckpointSource) => string;
  /** Whether a Python module goes with the weights. */
  readonly modellingFile: boolean;
  readonly plan: (source: CheckpointSource, removal: Removal) => PlannedTensor[];
  /** How other tools load the result, as a sentence. */
  readonly loadsWith: (configText: string) => string;
}

const renumbered = ({ model, checkpoint }: CheckpointSource, removal: Removal): PlannedTensor[] =>
  planTensors(model, checkpoint, removal);
const zeroed = ({ model, checkpoint }: CheckpointSource, removal: Removal): PlannedTensor[] =>
  planZeroed(model, checkpoint, removal);

export const dialects: Readonly<Record<DialectName, Dialect>> = {
  blocks: {
    name: 'blocks',
    keepsWeights: false,
    refuse: (_, removal) => whyNotPlain(removal),
    config: (text, removal) => rewriteConfig(text, removal),
    modellingFile: false,
    plan: renumbered,
    loadsWith: (text) => describeLoading(text, false),
  },
  'auto-map': {
    name: 'auto-map',
    keepsWeights: false,
    refuse: (_, removal) =>
      needsModule(removal)
        ? undefined
        : {
            problem:
              'The result is an ordinary model, so that no module of our own is needed to load it.',
            remedy: 'Choose blocks.',
          },
    config: (text, removal) => rewriteConfig(text, removal),
    modellingFile: true,
    plan: renumbered,
    loadsWith: (text) => describeLoading(text, true),
  },
  deci: {
    name: 'deci',
    keepsWeights: false,
    refuse: whyNotDeci,
    config: deciConfig,
    modellingFile: false,
    plan: renumbered,
    loadsWith: () =>
      'Tools that know nemotron-nas (DeciLM) models, such as vLLM, SGLang and mlx-lm. transformers needs the model code that NVIDIA publishes.',
  },
  'per-layer-config': {
    name: 'per-layer-config',
    keepsWeights: true,
    refuse: whyNotZeroed,
    config: (text, removal) => perLayerConfig(text, removal),
    modellingFile: false,
    plan: zeroed,
    loadsWith: (text) =>
      `${describeLoading(text, false)} per_layer_config says what to skip (transformers from 5.14); where a tool does not act on it, zeros in place of the removed output weights give the same result. No bytes are saved.`,
  },
  zeroed: {
    name: 'zeroed',
    keepsWeights: true,
    refuse: whyNotZeroed,
    config: (text) => text,
    modellingFile: false,
    plan: zeroed,
    loadsWith: (text) =>
      `${describeLoading(text, false)} The output weights of the removed sublayers are zeros: the model computes as if they were gone, but is no smaller and no faster.`,
  },
};

function whyNotPlain({ absent, expertCounts }: Removal): Refusal | undefined {
  if (absent.length > 0) {
    return {
      problem: `Whole blocks alone can be left out of a plain model, but ${absent.length} single sublayers would go.`,
      remedy: 'Choose auto-map, or search with --level block.',
    };
  }
  return isUneven(expertCounts)
    ? {
        problem: `A plain model has as many experts in every mixture, but ${[...new Set(expertCounts.values())].join(', ')} would be left.`,
        remedy: 'Choose auto-map, or remove as many experts from each mixture.',
      }
    : undefined;
}

function whyNotZeroed(
  { model }: CheckpointSource,
  { keptExperts, expertCounts, removed }: Removal,
): Refusal | undefined {
  const { summary } = model;
  if (summary.quantization !== undefined) {
    return {
      problem: 'Quantized weights have no zeros of their own.',
      remedy: 'Choose auto-map, or prune the model before it is quantized.',
    };
  }
  if (keptExperts.size > 0) {
    return {
      problem:
        'With zeros in its place, an expert would still be chosen and weighed by the router.',
      remedy: 'Choose auto-map, or blocks where every mixture keeps as many experts.',
    };
  }
  const gone = summary.sublayers.flatMap(({ id }, index) => (removed.includes(id) ? [index] : []));
  return gone.some((index) => model.outputTensors?.(index) === undefined)
    ? {
        problem: 'With norms behind each sublayer, zeros do not leave the stream as it is.',
        remedy: 'Choose auto-map.',
      }
    : (summary.absent ?? []).length > 0 || isUneven(expertCounts)
      ? {
          problem:
            'The model lacks sublayers or experts already, so that no plain model can hold it.',
          remedy: 'Choose auto-map.',
        }
      : undefined;
}

/** `per_layer_config` names modules by block: {"23": {"skip": ["mlp"]}}. */
function perLayerConfig(text: string, { removed }: Removal): string {
  const skips = new Map<string, string[]>();
  for (const id of removed) {
    const [, block = '', kind = ''] = id.split('.');
    skips.set(block, [...(skips.get(block) ?? []), kind === 'attention' ? 'attention' : 'mlp']);
  }
  const config = JSON.parse(text) as Record<string, unknown>;
  const per = Object.fromEntries([...skips].map(([block, skip]) => [block, { skip }]));
  return `${JSON.stringify({ ...config, per_layer_config: per }, null, 2)}\n`;
}

import type { Refusal } from '../../models/capability';
import { encodingTensors } from '../../models/encodings/encoding-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { mixesStreams } from '../../models/model-emitter';
import { deciConfig, explainDeciUnsupported, configurationModule } from './deci-config';
import { matrixChanges } from '../matrix-changes';
import { explainNoModelingFile } from './why-no-modeling-file';
import { describeLoading, rewriteConfig } from './pruned-config';
import type { ConfigSource } from './pruned-config';
import { isUneven, layOutChanges, needsModule } from '../changes';
import type { Changes } from '../changes';
import { planTensors, planZeroed } from '../weight-plan';
import type { PlannedTensor } from '../weight-plan';
import type { CheckpointSource } from './checkpoint-source';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Layouts for results that differ from a stock model. */
export const layoutNames = ['blocks', 'auto-map', 'dense', 'deci', 'zeroed'] as const;
export type LayoutName = (typeof layoutNames)[number];

/** Layout of a Hugging Face folder: how it represents the changes. */
export interface Layout {
  readonly name: LayoutName;
  /** Sentences for docs. */
  readonly what: string;
  /** True if the removed weights stay in the files, with zeros in the output projections. */
  readonly keepsWeights: boolean;
  /** Reason why the layout can't express the changes; undefined if it can. */
  readonly refuse: (source: CheckpointSource, changes: Changes) => Refusal | undefined;
  readonly config: (source: CheckpointSource, changes: Changes) => string;
  /** Python module written along with the weights. */
  readonly module: 'modeling' | 'configuration' | 'none';
  readonly plan: (source: CheckpointSource, changes: Changes) => PlannedTensor[];
  /** Sentence about how other tools load the result. */
  readonly loadsWith: (source: ConfigSource) => Message;
}

const renumbered = ({ model, checkpoint }: CheckpointSource, changes: Changes): PlannedTensor[] =>
  planTensors(model, checkpoint, changes);
const zeroed = ({ model, checkpoint }: CheckpointSource, changes: Changes): PlannedTensor[] =>
  planZeroed(model, checkpoint, changes);

export const layouts: Readonly<Record<LayoutName, Layout>> = {
  blocks: {
    name: 'blocks',
    what: 'A standard model of its family with fewer, renumbered blocks. Whole blocks can be removed, except those whose norms stay; single experts, if every MoE layer keeps the same number; and MLP channels, if every MLP keeps the same number.',
    keepsWeights: false,
    refuse: explainBlocksUnsupported,
    config: rewriteConfig,
    module: 'none',
    plan: renumbered,
    loadsWith: (source) => describeLoading(source, false),
  },
  'auto-map': {
    name: 'auto-map',
    what: 'A model with a modeling file next to the weights. Single sublayers and any number of experts, channels and key/value heads can be removed, and linear layers can be compressed, and sublayers replaced by graph modules. In multimodal models this applies to the text tower; the other parts are copied unchanged.',
    keepsWeights: false,
    refuse: (source, changes) =>
      needsModule(changes)
        ? (explainModuleUnsupported(changes) ?? explainNoModelingFile(source, changes))
        : {
            code: 'needs-no-module',
            reason: say`The result is an ordinary model, so it needs no modeling file.`,
            remedy: say`Choose blocks.`,
          },
    config: rewriteConfig,
    module: 'modeling',
    plan: renumbered,
    loadsWith: (source) => describeLoading(source, true),
  },
  dense: {
    name: 'dense',
    what: 'A standard model with the values of a compressed one, stored as dense matrices.',
    keepsWeights: false,
    refuse: (source, changes) =>
      changes.matrices.size === 0
        ? {
            code: 'nothing-compressed',
            reason: say`Nothing is compressed.`,
            remedy: say`Choose blocks or auto-map.`,
          }
        : explainBlocksUnsupported(source, asDense(source.model, changes)),
    config: rewriteConfig,
    module: 'none',
    plan: renumbered,
    loadsWith: (source) =>
      say`${describeLoading(source, false)} Compressed layers are stored as dense matrices of the compressed values: the outputs are those of the compressed model, but no bytes and no time are saved.`,
  },
  deci: {
    name: 'deci',
    what: 'A nemotron-nas (DeciLM) model. In a `llama` without biases, blocks and single sublayers can be removed, and channels if their number stays a multiple of 256. The attention of block 0 stays.',
    keepsWeights: false,
    refuse: explainDeciUnsupported,
    config: deciConfig,
    module: 'configuration',
    plan: renumbered,
    loadsWith: () =>
      say`Tools that support nemotron-nas (DeciLM) models: mlx-lm, and vLLM and SGLang with --trust-remote-code, which runs ${configurationModule}.py from the folder. transformers has no such model.`,
  },
  zeroed: {
    name: 'zeroed',
    what: 'A standard model in which the output weights of the removed sublayers are zeros. The source must not be quantized.',
    keepsWeights: true,
    refuse: explainZeroedUnsupported,
    config: ({ configText }) => configText,
    module: 'none',
    plan: zeroed,
    loadsWith: (source) =>
      say`${describeLoading(source, false)} The output weights of the removed sublayers are zeros: the outputs are those of the pruned model, but no bytes and no time are saved.`,
  },
};

/**
 * transformers stores the matrices of all experts in one tensor, even if the files have one per
 * expert.
 */
function explainModuleUnsupported({ compressed }: Changes): Refusal | undefined {
  const places = Object.values(compressed).flatMap((matrices) => Object.keys(matrices));
  const expert = places.find((place) => /\bexperts\b/.test(place));
  return expert === undefined
    ? undefined
    : {
        code: 'experts-not-expressible',
        reason: say`transformers keeps all experts of an MoE layer in one tensor, so ${expert} can't be compressed alone.`,
        remedy: say`Write ONNX, choose dense, or leave the experts out.`,
      };
}

/** The changes if every matrix that they compress were stored dense. */
function asDense(model: LayeredModel, { removed, matrices }: Changes): Changes {
  const dense = new Map<MatrixEncoding, MatrixEncoding>();
  for (const form of matrices.values()) {
    const [weight] = encodingTensors(form);
    dense.set(form, weight === undefined ? form : { kind: 'dense', weight });
  }
  const values = [...matrices].map(([id, form]) => [id, dense.get(form) ?? form] as const);
  return layOutChanges(model.summary, removed, matrixChanges(model, new Map(values)));
}

function explainBlocksUnsupported(source: CheckpointSource, changes: Changes): Refusal | undefined {
  const { summary } = source.model;
  const { absent, expertCounts, compressed, patched, widths } = changes;
  const [pruned] = Object.keys(widths);
  if (pruned !== undefined) {
    return {
      code: 'uneven-widths',
      reason: say`All blocks of a standard checkpoint have the same width, but ${pruned} has another.`,
      remedy: say`Choose auto-map, or keep the same number of channels in every MLP.`,
    };
  }
  if (Object.keys(patched).length > 0) {
    return {
      code: 'patches-not-expressible',
      reason: say`A standard checkpoint can't store graph modules.`,
      remedy: say`Choose auto-map.`,
    };
  }
  const forms = Object.values(compressed).flatMap((matrices) => Object.values(matrices));
  if (forms.length > 0 && forms.every(({ kind }) => kind === 'dense')) {
    return {
      code: 'matrices-not-expressible',
      reason: say`Checkpoints of this family store their matrices transposed.`,
      remedy: say`Choose auto-map, or write ONNX.`,
    };
  }
  if (forms.length > 0) {
    return {
      code: 'matrices-not-expressible',
      reason: say`A standard checkpoint can't store compressed layers.`,
      remedy: say`Choose auto-map, or dense if nothing has to be smaller.`,
    };
  }
  if (absent.length > 0 && summary.sublayers.some(({ leavesParts = false }) => leavesParts)) {
    return {
      code: 'single-sublayers',
      reason: say`Norms and other parts after removed sublayers remain, and a standard checkpoint of this family can't store them alone.`,
      remedy: say`Choose auto-map or zeroed, or write ONNX.`,
    };
  }
  if (absent.length > 0) {
    return {
      code: 'single-sublayers',
      reason: say`A standard checkpoint supports removing whole blocks, but this would remove parts of blocks (${counted(absent.length, 'sublayer')}).`,
      remedy: say`Choose auto-map, or remove whole blocks (--granularity block).`,
    };
  }
  return isUneven(expertCounts)
    ? {
        code: 'uneven-experts',
        reason: say`All MoE layers of a standard checkpoint have the same number of experts, but ${[...new Set(expertCounts.values())].join(', ')} would have another.`,
        remedy: say`Choose auto-map, or remove the same number of experts from each MoE layer.`,
      }
    : whyNoLayerTypes(source, changes);
}

/** Some classes want a block of each type. */
function whyNoLayerTypes({ family }: CheckpointSource, { blocks }: Changes): Refusal | undefined {
  if (family.kind !== 'decoder' || family.architecture.needsEachLayerType !== true) {
    return undefined;
  }
  const { modelType } = family.architecture;
  const { layer_types: types = [] } = family.config;
  const left = new Set(blocks.map((block) => types?.[block]));
  const missing = types?.find((type) => !left.has(type));
  return missing === undefined
    ? undefined
    : {
        code: 'blocks-not-removable',
        reason: say`transformers expects a block of type ${missing} in ${modelType} models, and none would remain.`,
        remedy: say`Keep a block of each type.`,
      };
}

function explainZeroedUnsupported(
  { model }: CheckpointSource,
  { remainingExperts, expertCounts, matrices, compressed, patched, widths }: Changes,
): Refusal | undefined {
  const { summary } = model;
  if (Object.keys(widths).length > 0) {
    return {
      code: 'uneven-widths',
      reason: say`All blocks of a standard checkpoint have the same width.`,
      remedy: say`Choose auto-map.`,
    };
  }
  if (Object.keys(patched).length > 0) {
    return {
      code: 'patches-not-expressible',
      reason: say`Zeroed weights can't express graph modules.`,
      remedy: say`Choose auto-map.`,
    };
  }
  if (matrices.size > 0 || Object.keys(compressed).length > 0) {
    return {
      code: 'matrices-not-expressible',
      reason: say`Zeroed weights can't express compressed layers.`,
      remedy: say`Choose auto-map.`,
    };
  }
  if (summary.quantization !== undefined) {
    return {
      code: 'zeros-not-expressible',
      reason: say`Quantized weights can't be set to zero.`,
      remedy: say`Choose auto-map, or prune the model before it is quantized.`,
    };
  }
  if (mixesStreams(model.emitter)) {
    return {
      code: 'zeros-not-expressible',
      reason: say`A sublayer of a ${summary.architecture} model mixes several streams, even if its weights are zero.`,
      remedy: say`Choose auto-map, or write ONNX.`,
    };
  }
  if (remainingExperts.size > 0) {
    return {
      code: 'zeros-not-expressible',
      reason: say`The router would still choose an expert with zeroed weights.`,
      remedy: say`Choose auto-map, or blocks if every MoE layer keeps the same number of experts.`,
    };
  }
  return (summary.absent ?? []).length > 0 || isUneven(expertCounts)
    ? {
        code: 'zeros-not-expressible',
        reason: say`Sublayers or experts of the model have already been removed.`,
        remedy: say`Choose auto-map.`,
      }
    : undefined;
}

import type { Message } from '../../message';
import { say } from '../../message';
import type { LayeredModel } from '../layered-model';
import type { QuantizationSummary, SublayerKind } from '../model-summary';
import type { Width } from './width';

/** Reason why a sublayer's width can't be pruned, with a fix. */
export interface NotWidthPrunable {
  readonly reason: Message;
  readonly remedy: Message;
}

const narrowable = say`Width pruning supports MLPs and attention layers of decoders and encoders.`;
const before = say`Prune the width before the model is quantized.`;

/** Reasons by kind, for kinds without channels or heads. */
const byKind: Readonly<Partial<Record<SublayerKind, NotWidthPrunable>>> = {
  expert: {
    reason: say`Remove experts from an MoE layer instead of channels.`,
    remedy: say`Remove experts, such as block.0.expert.3.`,
  },
  mixer: {
    reason: say`SSM and linear-attention layers can't be width-pruned: config.json and GGUF headers give one size for all blocks.`,
    remedy: say`Remove it, or compress its matrices.`,
  },
  'cross-attention': {
    reason: say`The keys and values of cross-attention are computed from the encoder's output.`,
    remedy: narrowable,
  },
  patch: { reason: say`A graph module has no channels or heads.`, remedy: narrowable },
  convolution: {
    reason: say`The channels of a convolution are those of the residual stream.`,
    remedy: narrowable,
  },
};

/** Width of sublayer `index`; undefined if another sublayer, or in a graph another node, uses its weights. */
export function ownWidth(model: LayeredModel, index: number): Width | undefined {
  const isShared = model.summary.sublayers[index]?.sharedWeights !== undefined;
  return isShared && model.kind !== 'graph' ? undefined : model.sublayer(index).width;
}

/**
 * Reason why sublayer `index` can't be width-pruned; undefined if it can, or if there is no such
 * sublayer.
 */
export function explainNotWidthPrunable(
  model: LayeredModel,
  index: number,
): NotWidthPrunable | undefined {
  const { summary, kind: modelKind } = model;
  const sublayer = summary.sublayers[index];
  if (sublayer === undefined) {
    return undefined;
  }
  const { kind, sharedWeights } = sublayer;
  if (summary.fixed !== undefined || (sharedWeights !== undefined && modelKind !== 'graph')) {
    return { reason: say`Other sublayers share its weights.`, remedy: narrowable };
  }
  if (modelKind === 'encoder-decoder' && kind === 'attention') {
    return {
      reason: say`In encoder–decoder models, only MLPs support width pruning.`,
      remedy: say`Prune the width of MLPs, or use the ONNX file of the model.`,
    };
  }
  if (modelKind === 'stages') {
    return {
      reason: say`Its layer sizes are defined once for all blocks.`,
      remedy: say`Remove sublayers, or prune the width of the model's ONNX file.`,
    };
  }
  return (
    byKind[kind] ??
    whyTooCoarse(summary.quantization) ?? {
      reason:
        model.sublayer(index).widthProblem ??
        (kind === 'attention'
          ? say`Some of its layers can't be split by heads.`
          : say`Some of its layers can't be split by channels.`),
      remedy: narrowable,
    }
  );
}

/** Why a quantized sublayer has no whole groups that could go. */
function whyTooCoarse(quantization: QuantizationSummary | undefined): NotWidthPrunable | undefined {
  if (quantization === undefined) {
    return undefined;
  }
  const { method, form, byActivation } = quantization;
  if (byActivation === true) {
    return {
      reason: say`Its inputs are grouped by activation (desc_act), so groups don't contain neighbors.`,
      remedy: before,
    };
  }
  if (method === 'bitsandbytes' && form !== 'int8') {
    return {
      reason: say`bitsandbytes counts quantization blocks of ${form ?? ''} over all rows of a matrix, so no column can be removed without splitting them.`,
      remedy: before,
    };
  }
  return form === 'gemv'
    ? {
        reason: say`AWQ pads scales of the gemv format to sizes that depend on the width.`,
        remedy: before,
      }
    : {
        reason: say`Its weights are quantized in groups, and only whole groups can be removed; it has too few.`,
        remedy: before,
      };
}

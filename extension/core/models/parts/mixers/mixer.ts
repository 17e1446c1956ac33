import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { SublayerCache } from '../../model-emitter';
import { emitBranchInput, emitResidual } from '../norm';
import type { Branch, NormStyle } from '../norm';
import type { MixerNames } from '../../transformer/architecture';
import type { ModelConfig } from '../../transformer/model-config';
import type { TensorFinder } from '../../transformer/tensor-finder';
import type { MixerFinder, MixerInput, MixerParts } from './mixer-kind';
import { emitParts, findParts } from './mixer-form';
import type { MixerForm } from './mixer-form';

/** Sizes shared by every mixer of a model. */
export interface MixerShape {
  readonly hiddenSize: number;
  readonly norm: NormStyle;
  /** Factor on the branch. */
  readonly residualScale: number;
  readonly form: MixerForm;
}

/** Weights of one mixer. */
export interface MixerWeights extends Branch, MixerParts {}

/** Side values of a mixer. */
interface MixerSide {
  readonly tokens: Value;
  readonly starts?: Value | undefined;
}

/** Undefined for a family without mixers. */
export function mixerShape(
  names: MixerNames | undefined,
  config: ModelConfig,
  { hiddenSize, norm, residualScale }: Omit<MixerShape, 'form'>,
): MixerShape | undefined {
  return names === undefined
    ? undefined
    : {
        hiddenSize,
        norm,
        residualScale: residualScale * (names.branchScale?.(config) ?? 1),
        form: names.form(config),
      };
}

/** Weights of the mixer of the block whose tensors begin with `prefix`. */
export function findMixer(
  names: MixerNames,
  { form, hiddenSize }: MixerShape,
  tensors: TensorFinder,
  prefix: string,
): MixerWeights {
  const own = names.module === '' ? prefix : `${prefix}${names.module}.`;
  const finder: MixerFinder = {
    hiddenSize,
    linear: (name, out, input, bias = false) => tensors.linear(`${own}${name}`, out, input, bias),
    convolution: (name, channels, kernel, bias) => ({
      weight: tensors.reshaped(`${own}${name}.weight`, [channels, 1, kernel]),
      ...(bias ? { bias: tensors.take(`${own}${name}.bias`, [channels]) } : {}),
    }),
    norm: (name, ...shape) => ({ weight: tensors.reshaped(`${own}${name}.weight`, shape) }),
    rows: (name) => tensors.rows(`${own}${name}`),
    take: (name, shape) => tensors.reshaped(`${own}${name}`, shape),
  };
  return { ...tensors.branch(prefix, names, hiddenSize), ...findParts(form, finder) };
}

/**
 * Emits hidden + mixer(norm(input)), hidden and input [batch, sequence, hiddenSize]: the input is another than
 * hidden where branches run in parallel. `tokens` [batch | 1, sequence, 1] has a zero for each place of padding,
 * `starts` a one for the first token of each text.
 */
export function emitMixer(
  graph: GraphBuilder,
  { hiddenSize, norm, residualScale, form }: MixerShape,
  weights: MixerWeights,
  hidden: Value,
  { tokens, starts }: MixerSide,
  source = hidden,
  cache?: SublayerCache,
): Value {
  const normed = emitBranchInput(graph, norm, source, weights);
  const size = graph.op('Shape', [hidden]);
  const leading = graph.op('Slice', [size, graph.ints([0]), graph.ints([2])]);
  const masked = graph.op('Mul', [normed, tokens]);
  const perRow = (side: Value): Value => {
    const all = graph.op('Concat', [leading, graph.ints([1])], { axis: 0 });
    const each = graph.op('Expand', [side, all]);
    return graph.op('Reshape', [each, graph.ints([-1, 1])]);
  };
  const rows = perRow(tokens);
  const input: MixerInput = {
    graph,
    rows: graph.op('Reshape', [masked, graph.ints([-1, hiddenSize])]),
    leading,
    epsilon: norm.epsilon,
    starts: starts === undefined ? '' : perRow(starts),
    mask: (x) => graph.op('Mul', [x, rows]),
    cache,
  };
  const branch = graph.op('Reshape', [emitParts(input, form, weights), size]);
  return emitResidual(graph, norm, residualScale, hidden, branch, weights);
}

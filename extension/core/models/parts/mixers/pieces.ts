import { emitScan, emitLength } from '../../../onnx/emit-sequence';
import type { ScanStep } from '../../../onnx/emit-sequence';
import type { Dimension, GraphBuilder, Value } from '../../../onnx/graph-builder';
import { emitActivation } from '../activations';
import { emitLinear } from '../linear';
import { emitNorm } from '../norm';
import type { Norm } from '../norm';
import { emitWeight } from '../weight';
import type { MixerInput, MixerParts } from './mixer-kind';

/** Cache names of the last convolution inputs and of the recurrent state. */
const convolutionState = 'conv_state';
const recurrentState = 'recurrent_state';

/** Rows as [batch, sequence, ...sizes]. */
export function emitSequence({ graph, leading }: MixerInput, x: Value, ...sizes: number[]): Value {
  return graph.op('Reshape', [x, graph.op('Concat', [leading, graph.ints(sizes)], { axis: 0 })]);
}

export function emitAsRows({ graph }: MixerInput, x: Value, width: number): Value {
  return graph.op('Reshape', [x, graph.ints([-1, width])]);
}

/** Emits the outputs of all linear layers except the last. */
export function emitInputs({ graph, rows }: MixerInput, { linears }: MixerParts): Value[] {
  return linears.slice(0, -1).map((linear) => emitLinear(graph, linear, rows));
}

export function emitBranch({ graph }: MixerInput, { linears }: MixerParts, x: Value): Value {
  const output = linears.at(-1);
  return output === undefined ? x : emitLinear(graph, output, x);
}

export function emitParts(graph: GraphBuilder, x: Value, sizes: readonly number[]): Value[] {
  return graph.ops('Split', [x, graph.ints(sizes)], sizes.length, { axis: -1 });
}

/** Convolves rows [batch · sequence, channels] along the sequence, with the cache or zeros as left padding. */
export function emitConvolution(
  input: MixerInput,
  { convolutions }: MixerParts,
  rows: Value,
): Value {
  const { graph } = input;
  return graph.step('convolution', () => {
    const channels = convolutions.reduce((sum, { weight }) => sum + (weight.shape[0] ?? 0), 0);
    const kernel = convolutions[0]?.weight.shape[2] ?? 1;
    const joined = (pieces: readonly Value[]): Value[] =>
      pieces.length > 1 ? [graph.op('Concat', pieces, { axis: 0 })] : [...pieces];
    const weights = joined(convolutions.map(({ weight }) => emitWeight(graph, weight)));
    const biases = joined(
      convolutions.flatMap(({ bias }) => (bias === undefined ? [] : [emitWeight(graph, bias)])),
    );
    const perChannel = graph.op('Transpose', [emitSequence(input, rows, channels)], {
      perm: [0, 2, 1],
    });
    const before = input.cache?.past(convolutionState, [channels, kernel - 1]);
    const all =
      before === undefined ? perChannel : graph.op('Concat', [before, perChannel], { axis: 2 });
    const convolved = graph.op('Conv', [all, ...weights, ...biases], {
      group: channels,
      kernel_shape: [kernel],
      pads: [before === undefined ? kernel - 1 : 0, 0],
    });
    input.cache?.keep(convolutionState, emitLast(graph, all, kernel - 1));
    const back = graph.op('Transpose', [convolved], { perm: [0, 2, 1] });
    return emitAsRows(input, back, channels);
  });
}

/** The last positions of x [batch, channels, positions], which are more. */
function emitLast(graph: GraphBuilder, x: Value, count: number): Value {
  const total = emitLength(graph, x, 2);
  const first = graph.op('Sub', [total, graph.ints([count])]);
  return graph.op('Slice', [x, first, total, graph.ints([2])]);
}

/**
 * Scans items along axis 1 as {@link emitScan} does, from the state [batch, ...sizes] that is cached, or from zeros;
 * keeps the last state.
 */
export function emitCarriedScan(
  { graph, leading, cache }: MixerInput,
  sizes: readonly number[],
  items: readonly Value[],
  shape: readonly Dimension[],
  step: ScanStep,
): Value {
  return graph.step('recurrence', () => {
    const zeros = (): Value => {
      const batch = graph.op('Slice', [leading, graph.ints([0]), graph.ints([1])]);
      const size = graph.op('Concat', [batch, graph.ints(sizes)], { axis: 0 });
      return graph.op('Expand', [graph.scalar(0), size]);
    };
    const value = cache?.past(recurrentState, sizes) ?? zeros();
    const { last, results } = emitScan(
      graph,
      { value, shape: ['batch', ...sizes] },
      items,
      shape,
      step,
    );
    cache?.keep(recurrentState, last);
    return results;
  });
}

export const emitSilu = (graph: GraphBuilder, x: Value): Value => emitActivation(graph, 'silu', x);

/** RMS norm over each run of `size` of the last axis of rows, with a gain for all of it or for one run. */
export function emitGroupNorm(
  input: MixerInput,
  norm: Norm,
  x: Value,
  { width, size, epsilon }: { width: number; size: number; epsilon: number },
): Value {
  const { graph } = input;
  return graph.step('rms-norm', () => {
    const groups = graph.op('Reshape', [x, graph.ints([-1, width / size, size])]);
    const gain = norm.weight?.shape[0] === width ? norm.weight : undefined;
    const each = gain === undefined ? norm : {};
    const rows = emitAsRows(input, emitNorm(graph, { kind: 'rms', epsilon }, groups, each), width);
    return gain === undefined ? rows : graph.op('Mul', [rows, emitWeight(graph, gain)]);
  });
}

/** x / √(Σx² + 10⁻⁶) over the last axis. */
export function emitUnit(graph: GraphBuilder, x: Value): Value {
  return graph.step('unit', () => {
    const square = graph.reduce('ReduceSum', graph.op('Mul', [x, x]), [-1], 1);
    const length = graph.op('Sqrt', [graph.op('Add', [square, graph.scalar(1e-6)])]);
    return graph.op('Div', [x, length]);
  });
}

/** ln(1 + exp(x + bias)) */
export function emitSoftplus(graph: GraphBuilder, x: Value, bias: Value): Value {
  return graph.step('softplus', () => graph.op('Softplus', [graph.op('Add', [x, bias])]));
}

/** Emits the factors on steps or decays, which are −exp of what most families store. */
export function emitFactors(graph: GraphBuilder, stored: Value, areStored = false): Value {
  return areStored ? stored : graph.op('Neg', [graph.op('Exp', [stored])]);
}

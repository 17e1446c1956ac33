import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { say } from '../../../message';
import { emitActivation } from '../activations';
import { emitWeight } from '../weight';
import { emitChunkedRecurrence } from './chunked-recurrence';
import type { MixerInput, MixerKind } from './mixer-kind';
import {
  emitBranch,
  emitConvolution,
  emitFactors,
  emitGroupNorm,
  emitInputs,
  emitParts,
  emitAsRows,
  emitSilu,
  emitSoftplus,
} from './pieces';

/** Mamba-2 (arXiv 2405.21060). */
export interface StateSpace {
  readonly kind: 'state-space';
  readonly heads: number;
  readonly headDim: number;
  readonly stateSize: number;
  /** Number of groups of B and C. Each group is shared by the same number of heads. */
  readonly groups: number;
  readonly kernel: number;
  readonly activation: string;
  /** True if the input projection has a bias, and the output projection unless `outputBias` is given. */
  readonly bias: boolean;
  readonly outputBias?: boolean;
  readonly convolutionBias: boolean;
  /** Group size of the norm; no norm if undefined. */
  readonly normSize: number | undefined;
  /** Epsilon of that norm; the model's when absent. */
  readonly epsilon?: number;
  /** True if the gate is applied after the norm. */
  readonly normsFirst?: boolean;
  readonly stepLimits?: readonly [number, number];
  /** Factors on the input, and on gate, x, B, C and step. */
  readonly inputScale?: number;
  readonly scales?: readonly number[];
  readonly outputScale?: number;
  readonly names?: StateSpaceNames;
  /** True if the checkpoint stores the factors A themselves, not log(−A). */
  readonly storesFactors?: boolean;
}

/** Names below the module; the last three are of tensors. */
export interface StateSpaceNames {
  readonly input: string;
  readonly output: string;
  readonly convolution: string;
  readonly norm: string;
  readonly factors: string;
  readonly biases: string;
  readonly skips: string;
}

const defaultNames: StateSpaceNames = {
  input: 'in_proj',
  output: 'out_proj',
  convolution: 'conv1d',
  norm: 'norm',
  factors: 'A_log',
  biases: 'dt_bias',
  skips: 'D',
};

const innerSize = ({ heads, headDim }: StateSpace): number => heads * headDim;

export const stateSpace: MixerKind<StateSpace> = {
  label: say`State space (Mamba-2)`,
  find(form, { hiddenSize: hidden, linear, convolution, norm, take }) {
    const { heads, stateSize, groups, kernel, bias, convolutionBias, normSize } = form;
    const { names = defaultNames } = form;
    const width = innerSize(form);
    const channels = width + 2 * groups * stateSize;
    return {
      linears: [
        linear(names.input, width + channels + heads, hidden, bias),
        linear(names.output, hidden, width, form.outputBias ?? bias),
      ],
      convolutions: [convolution(names.convolution, channels, kernel, convolutionBias)],
      norms: normSize === undefined ? [] : [norm(names.norm, width)],
      tensors: [names.factors, names.biases, names.skips].map((name): LazyTensor =>
        take(name, [heads]),
      ),
    };
  },

  emit(input, form, parts) {
    const { graph } = input;
    const { heads, headDim, stateSize, groups, activation, stepLimits } = form;
    const width = innerSize(form);
    const shared = groups * stateSize;
    const [joined = ''] = emitInputs(input, parts);
    const projected = emitScaled(graph, form, joined);
    const [gate = '', mixed = '', step = ''] = emitParts(graph, projected, [
      width,
      width + 2 * shared,
      heads,
    ]);
    const convolved = emitConvolution(input, parts, mixed);
    const masked = input.mask(emitActivation(graph, activation, convolved));
    const [x = '', b = '', c = ''] = emitParts(graph, masked, [width, shared, shared]);
    const [rates = '', biases = '', skips = ''] = parts.tensors.map((tensor) =>
      emitWeight(graph, tensor),
    );
    const steps = emitClamped(graph, emitSoftplus(graph, step, biases), stepLimits);
    const byHead = (y: Value, size: number): Value =>
      graph.op('Reshape', [y, graph.ints([-1, heads, size])]);
    const values = byHead(x, headDim);
    const scanned = emitChunkedRecurrence(
      input,
      { groups, perGroup: heads / groups, keys: stateSize, values: headDim },
      {
        logDecay: graph.op('Mul', [steps, emitFactors(graph, rates, form.storesFactors)]),
        key: b,
        query: c,
        value: emitAsRows(input, graph.op('Mul', [values, byHead(steps, 1)]), width),
      },
    );
    const skip = graph.op('Reshape', [skips, graph.ints([heads, 1])]);
    const skipped = emitAsRows(input, graph.op('Mul', [values, skip]), width);
    const rows = graph.op('Add', [scanned, skipped]);
    const branch = emitBranch(input, parts, emitGated(input, form, parts, rows, gate));
    return form.outputScale === undefined
      ? branch
      : graph.op('Mul', [branch, graph.scalar(form.outputScale)]);
  },
};

function emitGated(
  input: MixerInput,
  form: StateSpace,
  { norms: [norm] }: Parameters<typeof stateSpace.emit>[2],
  x: Value,
  gate: Value,
): Value {
  const { graph } = input;
  const { normSize, normsFirst = false, epsilon = input.epsilon } = form;
  const normed = (y: Value): Value =>
    norm === undefined || normSize === undefined
      ? y
      : emitGroupNorm(input, norm, y, { width: innerSize(form), size: normSize, epsilon });
  const open = emitSilu(graph, gate);
  return normsFirst ? graph.op('Mul', [normed(x), open]) : normed(graph.op('Mul', [x, open]));
}

function emitClamped(
  graph: GraphBuilder,
  x: Value,
  [low, high]: readonly [number, number] = [0, Infinity],
): Value {
  const atLeast = low > 0 ? graph.op('Max', [x, graph.scalar(low)]) : x;
  return Number.isFinite(high) ? graph.op('Min', [atLeast, graph.scalar(high)]) : atLeast;
}

function emitScaled(graph: GraphBuilder, form: StateSpace, x: Value): Value {
  const { heads, groups, stateSize, scales, inputScale = 1 } = form;
  if (scales === undefined && inputScale === 1) {
    return x;
  }
  const widths = [innerSize(form), innerSize(form), groups * stateSize, groups * stateSize, heads];
  const all = widths.flatMap((width, i) =>
    Array.from({ length: width }, () => inputScale * (scales?.[i] ?? 1)),
  );
  return graph.op('Mul', [x, graph.floats(all, [all.length])]);
}

import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { say } from '../../../message';
import { emitActivation } from '../activations';
import { emitLinear } from '../linear';
import { emitWeight } from '../weight';
import type { MixerInput, MixerKind } from './mixer-kind';
import { emitBranch, emitCarriedScan, emitConvolution, emitAsRows, emitSequence } from './pieces';

/** Real-gated linear recurrent unit (Griffin, arXiv 2402.19427, § 2.4). */
export interface GatedRecurrence {
  readonly kind: 'gated-recurrence';
  /** Number of channels, each with its own state. */
  readonly width: number;
  /** Number of heads; gates of a head read only its channels. */
  readonly heads: number;
  readonly kernel: number;
  readonly activation: string;
}

/** Scale c of the log decay c · softplus(Λ) · gate. */
const sharpness = -8;

export const gatedRecurrence: MixerKind<GatedRecurrence> = {
  label: say`Gated recurrence (RG-LRU)`,
  readsStarts: true,
  find({ width, heads, kernel }, { hiddenSize: hidden, linear, convolution, take }) {
    const size = width / heads;
    const gate = (name: string): LazyTensor[] => [
      take(`rg_lru.${name}_weight`, [heads, size, size]),
      take(`rg_lru.${name}_bias`, [heads, size]),
    ];
    return {
      linears: [
        linear('linear_x', width, hidden, true),
        linear('linear_y', width, hidden, true),
        linear('linear_out', hidden, width, true),
      ],
      convolutions: [convolution('conv_1d', width, kernel, true)],
      norms: [],
      tensors: [
        ...gate('input_gate'),
        ...gate('recurrent_gate'),
        take('rg_lru.recurrent_param', [width]),
      ],
    };
  },

  emit(input, form, parts) {
    const { graph, rows, starts } = input;
    const { width, activation } = form;
    const [into, beside] = parts.linears.map((linear) => () => emitLinear(graph, linear, rows));
    const x = emitConvolution(input, parts, into?.() ?? '');
    const [inputWeight, inputBias, decayWeight, decayBias, rates] = parts.tensors;
    const opened = emitGate(input, form, x, inputWeight, inputBias);
    const closed = emitGate(input, form, x, decayWeight, decayBias);
    const rate = rates === undefined ? '' : graph.op('Softplus', [emitWeight(graph, rates)]);
    const logDecay = graph.op('Mul', [closed, graph.op('Mul', [rate, graph.scalar(sharpness)])]);
    const one = graph.scalar(1);
    const square = graph.op('Exp', [graph.op('Mul', [logDecay, graph.scalar(2)])]);
    // The first token of a text has no previous state, so it isn't scaled down.
    const continues = graph.op('Sub', [one, starts]);
    const scale = graph.op('Add', [
      starts,
      graph.op('Mul', [continues, graph.op('Sqrt', [graph.op('Sub', [one, square])])]),
    ]);
    const added = graph.op('Mul', [graph.op('Mul', [x, opened]), scale]);
    const decay = graph.op('Mul', [graph.op('Exp', [logDecay]), continues]);
    const items = [decay, added].map((item) => emitSequence(input, item, width));
    const scanned = emitCarriedScan(input, [width], items, ['batch', width], (body, state, at) => {
      const [kept = '', more = ''] = at;
      const next = body.op('Add', [body.op('Mul', [state, kept]), more]);
      return { next, result: body.op('Identity', [next]) };
    });
    const open = emitActivation(graph, activation, beside?.() ?? '');
    const given = graph.op('Mul', [emitAsRows(input, scanned, width), open]);
    return emitBranch(input, parts, given);
  },
};

/** Emits the sigmoid of a block-diagonal projection, one matrix [in, out] per head: rows [rows, width]. */
function emitGate(
  input: MixerInput,
  { heads, width }: GatedRecurrence,
  x: Value,
  weight: LazyTensor | undefined,
  bias: LazyTensor | undefined,
): Value {
  const { graph } = input;
  const size = width / heads;
  const stored = (tensor: LazyTensor | undefined): Value =>
    tensor === undefined ? '' : emitWeight(graph, tensor);
  const sum = graph.step('gate', () => {
    const byHead = transposed(graph, graph.op('Reshape', [x, graph.ints([-1, heads, size])]));
    const product = transposed(graph, graph.op('MatMul', [byHead, stored(weight)]));
    return graph.op('Add', [product, stored(bias)]);
  });
  return graph.op('Sigmoid', [emitAsRows(input, sum, width)]);
}

const transposed = (graph: GraphBuilder, x: Value): Value =>
  graph.op('Transpose', [x], { perm: [1, 0, 2] });

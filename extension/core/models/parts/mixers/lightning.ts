import { emitLength } from '../../../onnx/emit-sequence';
import type { Value } from '../../../onnx/graph-builder';
import { say } from '../../../message';
import { emitActivation } from '../activations';
import { emitWeight } from '../weight';
import { emitChunkedRecurrence } from './chunked-recurrence';
import type { MixerKind } from './mixer-kind';
import { emitBranch, emitGroupNorm, emitInputs, emitAsRows } from './pieces';

/** Linear attention whose heads forget at fixed rates (Lightning Attention, arXiv 2501.08313, § 2.2). */
export interface Lightning {
  readonly kind: 'lightning';
  readonly heads: number;
  readonly headDim: number;
  /** Activation of queries, keys and values. */
  readonly activation: string;
  /** Epsilon of the norm of the concatenated heads. */
  readonly epsilon: number;
}

export const lightning: MixerKind<Lightning> = {
  label: say`Lightning attention`,
  find({ heads, headDim }, { hiddenSize: hidden, linear, norm, take }) {
    const width = heads * headDim;
    return {
      linears: [
        linear('qkv_proj', 3 * width, hidden),
        linear('output_gate', width, hidden),
        linear('out_proj', hidden, width),
      ],
      convolutions: [],
      norms: [norm('norm', width)],
      tensors: [take('slope_rate', [1, heads])],
    };
  },

  emit(input, { heads, headDim, activation, epsilon }, parts) {
    const { graph } = input;
    const width = heads * headDim;
    const [joined = '', gate = ''] = emitInputs(input, parts);
    const active = input.mask(emitActivation(graph, activation, joined));
    const byHead = graph.op('Reshape', [active, graph.ints([-1, heads, 3, headDim])]);
    const [query = '', key = '', value = ''] = graph
      .ops('Split', [byHead, graph.ints([1, 1, 1])], 3, { axis: 2 })
      .map((part) => emitAsRows(input, part, width));
    const [slopes] = parts.tensors;
    const rates = graph.op('Neg', [slopes === undefined ? '' : emitWeight(graph, slopes)]);
    const count = emitLength(graph, query, 0);
    const logDecay: Value = graph.op('Expand', [
      rates,
      graph.op('Concat', [count, graph.ints([heads])], { axis: 0 }),
    ]);
    const given = emitChunkedRecurrence(
      input,
      { groups: heads, perGroup: 1, keys: headDim, values: headDim },
      { logDecay, key, query, value },
    );
    const [norm = {}] = parts.norms;
    const normed = emitGroupNorm(input, norm, given, { width, size: width, epsilon });
    const open = graph.op('Sigmoid', [gate]);
    return emitBranch(input, parts, graph.op('Mul', [open, normed]));
  },
};

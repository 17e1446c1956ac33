import { say } from '../../../message';
import type { MixerKind } from './mixer-kind';
import { emitBranch, emitConvolution, emitInputs, emitParts } from './pieces';

/** C · convolution(B · x) with B, C and x from one linear layer (LFM2, arXiv 2511.23404). */
export interface ShortConvolution {
  readonly kind: 'short-convolution';
  readonly kernel: number;
  readonly bias: boolean;
}

export const shortConvolution: MixerKind<ShortConvolution> = {
  label: say`Short convolution`,
  find({ kernel, bias }, { hiddenSize: hidden, linear, convolution }) {
    return {
      linears: [
        linear('in_proj', 3 * hidden, hidden, bias),
        linear('out_proj', hidden, hidden, bias),
      ],
      convolutions: [convolution('conv', hidden, kernel, bias)],
      norms: [],
      tensors: [],
    };
  },
  emit(input, _, parts) {
    const { graph } = input;
    const [joined = ''] = emitInputs(input, parts);
    const hidden = parts.convolutions[0]?.weight.shape[0] ?? 0;
    const [before = '', behind = '', x = ''] = emitParts(graph, joined, [hidden, hidden, hidden]);
    const gated = graph.op('Mul', [before, x]);
    const convolved = emitConvolution(input, parts, gated);
    return emitBranch(input, parts, graph.op('Mul', [behind, convolved]));
  },
};

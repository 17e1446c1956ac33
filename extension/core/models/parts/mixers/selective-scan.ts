import type { Value } from '../../../onnx/graph-builder';
import { say } from '../../../message';
import { emitActivation } from '../activations';
import { emitLinear } from '../linear';
import { emitNorm } from '../norm';
import type { Norm } from '../norm';
import { emitWeight } from '../weight';
import type { MixerKind } from './mixer-kind';
import {
  emitBranch,
  emitConvolution,
  emitFactors,
  emitParts,
  emitAsRows,
  emitSequence,
} from './pieces';
import { emitRecurrence } from './chunked-recurrence';

/** Mamba (arXiv 2312.00752). */
export interface SelectiveScan {
  readonly kind: 'selective-scan';
  /** Number of channels. */
  readonly width: number;
  readonly stateSize: number;
  readonly stepRank: number;
  readonly kernel: number;
  readonly activation: string;
  readonly bias: boolean;
  readonly convolutionBias: boolean;
  /** Norms of step, B and C: weighted (Jamba), without weights (Falcon Mamba), or none. */
  readonly innerNorms?: 'weighted' | { readonly epsilon: number };
  readonly names?: SelectiveScanNames;
  /** True if the checkpoint stores the factors A themselves, not log(−A). */
  readonly storesFactors?: boolean;
}

/** Names below the module; factors and skips are of tensors. */
export interface SelectiveScanNames {
  readonly input: string;
  readonly state: string;
  readonly step: string;
  readonly output: string;
  readonly convolution: string;
  readonly factors: string;
  readonly skips: string;
  /** Norms of step, B and C. */
  readonly norms: readonly string[];
}

const defaultNames: SelectiveScanNames = {
  input: 'in_proj',
  state: 'x_proj',
  step: 'dt_proj',
  output: 'out_proj',
  convolution: 'conv1d',
  factors: 'A_log',
  skips: 'D',
  norms: ['dt_layernorm', 'b_layernorm', 'c_layernorm'],
};

export const selectiveScan: MixerKind<SelectiveScan> = {
  label: say`Selective scan (Mamba)`,
  find(form, { hiddenSize: hidden, linear, convolution, norm, take }) {
    const { width, stateSize, stepRank, kernel, bias, convolutionBias } = form;
    const { names = defaultNames } = form;
    return {
      linears: [
        linear(names.input, 2 * width, hidden, bias),
        linear(names.state, stepRank + 2 * stateSize, width),
        linear(names.step, width, stepRank, true),
        linear(names.output, hidden, width, bias),
      ],
      convolutions: [convolution(names.convolution, width, kernel, convolutionBias)],
      norms:
        form.innerNorms === 'weighted'
          ? names.norms.map((name, i): Norm => norm(name, i === 0 ? stepRank : stateSize))
          : [],
      tensors: [take(names.factors, [width, stateSize]), take(names.skips, [width])],
    };
  },

  emit(input, form, parts) {
    const { graph, rows } = input;
    const { width, stateSize, stepRank, activation } = form;
    const [intoBoth, intoState, intoStep] = parts.linears;
    const through = (linear: typeof intoBoth, x: Value): Value =>
      linear === undefined ? x : emitLinear(graph, linear, x);
    const [mixed = '', gate = ''] = emitParts(graph, through(intoBoth, rows), [width, width]);
    const convolved = emitConvolution(input, parts, mixed);
    const x = input.mask(emitActivation(graph, activation, convolved));
    const normed = (part: Value, i: number): Value => {
      const { innerNorms: own } = form;
      if (own === undefined) {
        return part;
      }
      const epsilon = own === 'weighted' ? input.epsilon : own.epsilon;
      return emitNorm(graph, { kind: 'rms', epsilon }, part, parts.norms[i] ?? {});
    };
    const [step = '', b = '', c = ''] = emitParts(graph, through(intoState, x), [
      stepRank,
      stateSize,
      stateSize,
    ]).map(normed);
    const steps = graph.op('Softplus', [through(intoStep, step)]);
    const [factors = '', skips = ''] = parts.tensors.map((tensor) => emitWeight(graph, tensor));
    const rates = graph.op('Transpose', [emitFactors(graph, factors, form.storesFactors)], {
      perm: [1, 0],
    });
    const scanned = emitRecurrence(
      input,
      { heads: 1, keys: stateSize, values: width },
      {
        decay: emitSequence(input, steps, 1, 1, width),
        // Computing all decays together would take stateSize times the memory.
        decayOf: (body, own) => body.op('Exp', [body.op('Mul', [own, rates])]),
        key: emitSequence(input, b, 1, 1, stateSize),
        query: emitSequence(input, c, 1, 1, stateSize),
        value: emitSequence(input, graph.op('Mul', [x, steps]), 1, 1, width),
      },
    );
    const sum = graph.op('Add', [emitAsRows(input, scanned, width), graph.op('Mul', [x, skips])]);
    return emitBranch(
      input,
      parts,
      graph.op('Mul', [sum, emitActivation(graph, activation, gate)]),
    );
  },
};

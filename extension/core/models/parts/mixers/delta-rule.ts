import type { Value } from '../../../onnx/graph-builder';
import { say } from '../../../message';
import { emitActivation } from '../activations';
import { emitLinear } from '../linear';
import { emitWeight } from '../weight';
import { emitChunkedRecurrence, emitRecurrence } from './chunked-recurrence';
import type { Convolution, MixerFinder, MixerInput, MixerKind, MixerParts } from './mixer-kind';
import {
  emitBranch,
  emitConvolution,
  emitFactors,
  emitGroupNorm,
  emitParts,
  emitAsRows,
  emitSequence,
  emitSoftplus,
  emitUnit,
} from './pieces';

/** Gated delta rule (arXiv 2412.06464), and with a decay for each key dimension (Kimi Linear, arXiv 2510.26692). */
export interface DeltaRule {
  readonly kind: 'delta-rule';
  readonly keyHeads: number;
  /** A multiple of the former: several heads share a query and a key. */
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly kernel: number;
  readonly activation: string;
  readonly names: DeltaNames;
  /** The step by which a state is replaced, as a multiple of σ(x). */
  readonly rateScale?: number;
  /** Epsilon of the output norm; by default the model's. */
  readonly epsilon?: number;
  /** True if value heads are interleaved over key heads instead of grouped by key head. */
  readonly takesTurns?: boolean;
  /** True if the checkpoint stores the decay factors A themselves, not log(−A). */
  readonly storesFactors?: boolean;
}

/** Names below the module. */
export type DeltaNames = {
  readonly norm: string;
  readonly output: string;
  /** Tensors; `A_log` and `dt_bias` when absent. */
  readonly decayFactors?: string;
  readonly decayBiases?: string;
} & (
  | {
      /** Query, key, value and gate of each key head, and rate and decay of each, in one matrix each. */
      readonly inputs: 'by-head';
      readonly queryKeyValueGate: string;
      readonly rateDecay: string;
      readonly convolution: string;
    }
  | ({
      readonly inputs: 'separate';
      /** Query, key and value, in one matrix or in three. */
      readonly queryKeyValue: readonly string[];
      readonly gate: readonly string[];
      /** One for query, key and value, or three. */
      readonly convolutions: readonly string[];
      /** Activation of the output gate. */
      readonly gateActivation?: 'sigmoid';
    } & (
      | {
          readonly rate: string;
          /** One matrix, or two with a narrow layer between them, whose decays are for each key dimension. */
          readonly decay: readonly string[];
        }
      | {
          /** Rates and decays of each key head. */
          readonly rateDecay: string;
        }
    ))
);

/** Query, key, value, gate, rate and decay of all rows, heads one after the other. */
type Projected = readonly [Value, Value, Value, Value, Value, Value];

export const deltaRule: MixerKind<DeltaRule> = {
  label: say`Gated delta rule`,
  find(form, finder) {
    const { keyHeads, valueHeads, keyDim, valueDim, names } = form;
    const { hiddenSize: hidden, linear, norm, take } = finder;
    const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
    const decays = isByDimension(form) ? keys : valueHeads;
    const bySize = { hidden, keys, values };
    return {
      linears: [
        ...(names.inputs === 'by-head'
          ? [
              linear(names.queryKeyValueGate, 2 * keys + 2 * values, hidden),
              linear(names.rateDecay, 2 * valueHeads, hidden),
            ]
          : separateLinears(form, names, finder, bySize)),
        linear(names.output, hidden, values),
      ],
      convolutions: findConvolutions(form, finder, [keys, keys, values]),
      norms: [norm(names.norm, valueDim)],
      tensors: [
        take(
          names.decayFactors ?? 'A_log',
          isByDimension(form) ? [1, 1, valueHeads, 1] : [valueHeads],
        ),
        take(names.decayBiases ?? 'dt_bias', [decays]),
      ],
    };
  },

  emit(input, form, parts) {
    const { graph } = input;
    const { keyHeads, valueHeads, keyDim, valueDim, names } = form;
    const [query, key, value, gate, rate, decay] = emitProjected(input, form, parts);
    const [rates = '', biases = ''] = parts.tensors.map((tensor) => emitWeight(graph, tensor));
    const unit = (x: Value): Value => {
      const heads = graph.op('Reshape', [x, graph.ints([-1, keyHeads, keyDim])]);
      return emitAsRows(input, emitUnit(graph, heads), keyHeads * keyDim);
    };
    const share = graph.op('Sigmoid', [rate]);
    const moved = {
      query: graph.op('Mul', [unit(query), graph.scalar(keyDim ** -0.5)]),
      key: unit(key),
      value,
      rate:
        form.rateScale === undefined
          ? share
          : graph.op('Mul', [share, graph.scalar(form.rateScale)]),
    };
    const grown = emitSoftplus(graph, decay, biases);
    const factor = emitFactors(graph, rates, form.storesFactors);
    const result = isByDimension(form)
      ? emitByPosition(input, form, { ...moved, grown, factor })
      : emitByHead(input, form, { ...moved, logDecay: graph.op('Mul', [grown, factor]) });
    const width = valueHeads * valueDim;
    const [norm] = parts.norms;
    const normed = emitGroupNorm(input, norm ?? {}, result, {
      width,
      size: valueDim,
      epsilon: form.epsilon ?? input.epsilon,
    });
    const open =
      names.inputs === 'separate' && names.gateActivation === 'sigmoid'
        ? graph.op('Sigmoid', [gate])
        : emitActivation(graph, 'silu', gate);
    return emitBranch(input, parts, graph.op('Mul', [normed, open]));
  },
};

const isByDimension = ({ names }: DeltaRule): boolean => 'decay' in names && names.decay.length > 1;

/** One convolution, or the parts that transformers splits it into, which differ from query, key and value. */
function findConvolutions(
  { kernel, names }: DeltaRule,
  { convolution, rows }: MixerFinder,
  widths: readonly number[],
): Convolution[] {
  const all = names.inputs === 'by-head' ? [names.convolution] : names.convolutions;
  const total = widths.reduce((sum, width) => sum + width, 0);
  const stored = all.map((name) => rows(name));
  const isWhole = stored.reduce((sum, count) => sum + count, 0) === total;
  const expected = all.length === 1 ? [total] : widths;
  return all.map((name, i) =>
    convolution(name, (isWhole ? stored[i] : expected[i]) ?? 0, kernel, false),
  );
}

function separateLinears(
  { valueHeads, keyDim, valueDim }: DeltaRule,
  names: Extract<DeltaNames, { inputs: 'separate' }>,
  { linear }: MixerFinder,
  { hidden, keys, values }: Readonly<Record<'hidden' | 'keys' | 'values', number>>,
): MixerParts['linears'] {
  const { queryKeyValue, gate } = names;
  const chain = (
    [first = '', second]: readonly string[],
    wide: number,
    plain: number,
    narrow: number,
  ) =>
    second === undefined
      ? [linear(first, plain, hidden)]
      : [linear(first, narrow, hidden), linear(second, wide, narrow)];
  return [
    ...(queryKeyValue.length === 1
      ? [linear(queryKeyValue[0] ?? '', 2 * keys + values, hidden)]
      : queryKeyValue.map((name, i) => linear(name, [keys, keys, values][i] ?? 0, hidden))),
    ...chain(gate, values, values, valueDim),
    ...('rateDecay' in names
      ? [linear(names.rateDecay, 2 * valueHeads, hidden)]
      : [linear(names.rate, valueHeads, hidden), ...chain(names.decay, keys, valueHeads, keyDim)]),
  ];
}

function emitProjected(input: MixerInput, form: DeltaRule, parts: MixerParts): Projected {
  const { graph, rows } = input;
  const { keyHeads, valueHeads, keyDim, valueDim, names, activation } = form;
  const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
  const convolved = (all: readonly Value[]): Value[] => {
    const joined = all.length === 1 ? (all[0] ?? '') : graph.op('Concat', all, { axis: -1 });
    const moved = emitConvolution(input, parts, joined);
    return emitParts(graph, emitActivation(graph, activation, moved), [keys, keys, values]);
  };
  const inner = parts.linears.slice(0, -1);
  const group = valueHeads / keyHeads;
  const perHead = (x: Value, sizes: readonly number[]): Value[] => {
    const width = sizes.reduce((sum, size) => sum + size, 0);
    const heads = graph.op('Reshape', [x, graph.ints([-1, keyHeads, width])]);
    return emitParts(graph, heads, sizes).map((part, i) =>
      emitAsRows(input, part, keyHeads * (sizes[i] ?? 1)),
    );
  };
  if (names.inputs === 'by-head') {
    const [all = '', both = ''] = inner.map((linear) => emitLinear(graph, linear, rows));
    const wide = group * valueDim;
    const [q = '', k = '', v = '', z = ''] = perHead(all, [keyDim, keyDim, wide, wide]);
    const [b = '', a = ''] = perHead(both, [group, group]);
    const [query = '', key = '', value = ''] = convolved([q, k, v]);
    return [query, key, value, z, b, a];
  }
  let at = 0;
  const next = (count: number): Value => {
    const chain = inner.slice(at, at + count);
    at += count;
    return chain.reduce((x, linear) => emitLinear(graph, linear, x), rows);
  };
  const [query = '', key = '', value = ''] = convolved(names.queryKeyValue.map(() => next(1)));
  const gate = next(names.gate.length);
  const first = next(1);
  const [rate = '', decay = ''] =
    'rateDecay' in names ? perHead(first, [group, group]) : [first, next(names.decay.length)];
  return [query, key, value, gate, rate, decay];
}

/** Emits the recurrence with one decay per head. */
function emitByHead(
  input: MixerInput,
  { keyHeads: groups, valueHeads, keyDim: keys, valueDim: values, takesTurns = false }: DeltaRule,
  moved: Readonly<Record<'query' | 'key' | 'value' | 'rate' | 'logDecay', Value>>,
): Value {
  const { graph } = input;
  const perGroup = valueHeads / groups;
  const transposeHeads = (x: Value, outer: number, inner: number, size: number): Value =>
    takesTurns && groups > 1 && perGroup > 1
      ? emitAsRows(
          input,
          graph.op('Transpose', [graph.op('Reshape', [x, graph.ints([-1, outer, inner, size])])], {
            perm: [0, 2, 1, 3],
          }),
          valueHeads * size,
        )
      : x;
  const result = emitChunkedRecurrence(
    input,
    { groups, perGroup, keys, values },
    {
      ...moved,
      value: transposeHeads(moved.value, perGroup, groups, values),
      rate: transposeHeads(moved.rate, perGroup, groups, 1),
      logDecay: transposeHeads(moved.logDecay, perGroup, groups, 1),
    },
  );
  return transposeHeads(result, groups, perGroup, values);
}

/** Emits the recurrence with one decay per key dimension and one key per value head. */
function emitByPosition(
  input: MixerInput,
  { valueHeads: heads, keyDim: keys, valueDim: values }: DeltaRule,
  moved: Readonly<Record<'query' | 'key' | 'value' | 'rate' | 'grown' | 'factor', Value>>,
): Value {
  const { graph } = input;
  const factor = graph.op('Reshape', [moved.factor, graph.ints([heads, 1, 1])]);
  const logDecay = graph.op('Mul', [emitSequence(input, moved.grown, heads, keys, 1), factor]);
  const result = emitRecurrence(
    input,
    { heads, keys, values },
    {
      decay: graph.op('Exp', [logDecay]),
      query: emitSequence(input, moved.query, heads, 1, keys),
      key: emitSequence(input, moved.key, heads, 1, keys),
      value: emitSequence(input, moved.value, heads, 1, values),
      rate: emitSequence(input, moved.rate, heads, 1, 1),
    },
  );
  return emitAsRows(input, result, heads * values);
}

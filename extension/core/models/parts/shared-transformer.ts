import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { SharedNames } from '../shared-modules';
import type { SublayerCache } from '../model-emitter';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { emitAdapted } from './adapted';
import type { Adapter, SharedParts } from './adapted';
import { emitHeads } from './attention';
import type { AttentionShape, AttentionSide, AttentionWeights } from './attention';
import { emitActivation } from './feedforward';
import type { FeedforwardShape } from './feedforward';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitNorm, emitResidual } from './norm';

/** Weights of the transformer that `block` uses, whose tensors and other blocks' begin with `placeOf(block)`. */
export function findSharedTransformer(
  names: SharedNames,
  config: ModelConfig,
  tensors: TensorFinder,
  placeOf: (block: number) => string,
  block: number,
  { hiddenSize: hidden, numHeads, numKeyValueHeads, headDim }: AttentionShape,
): AttentionWeights {
  const { module, users, turns } = names.modules(config);
  const number = users.indexOf(block);
  const own = `${placeOf(users[number % turns] ?? block)}${module}.`;
  const { intermediate_size: inner, mlp_bias: bias } = config;
  const input = 2 * hidden;
  const linear = (name: string, out: number, width: number, hasBias = false): Linear =>
    tensors.linear(`${own}${name}`, out, width, hasBias);
  const adapter = (name: string, out: number, width: number): Adapter => ({
    down: linear(`${name}_adapter_list.${number}.0`, names.rank(config), width),
    up: linear(`${name}_adapter_list.${number}.1`, out, names.rank(config)),
  });
  const widths = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  const heads = ['q', 'k', 'v'].map((name, i) => ({ name, width: widths[i] ?? 0 }));
  return {
    norm: tensors.norm(`${own}input_layernorm`, input),
    queryKeyValue: heads.map(({ name, width }) => linear(`self_attn.${name}_proj`, width, input)),
    shared: {
      adapters: names.adaptsHeads(config)
        ? heads.map(({ name, width }) => adapter(`self_attn.linear_${name}`, width, input))
        : [],
      attended: linear('self_attn.o_proj', hidden, numHeads * headDim),
      norm: tensors.norm(`${own}pre_ff_layernorm`, hidden),
      gateUp: linear('feed_forward.gate_up_proj', 2 * inner, hidden, bias),
      gateUpAdapter: adapter('feed_forward.gate_up_proj', 2 * inner, hidden),
      down: linear('feed_forward.down_proj', hidden, inner, bias),
    },
    output: tensors.linear(`${placeOf(block)}${names.output}`, hidden, hidden, false),
  };
}

/** Emits hidden + transformer(hidden, embedding), hidden [batch, sequence, hiddenSize]. */
export function emitSharedTransformer(
  graph: GraphBuilder,
  shape: AttentionShape,
  { activation }: Pick<FeedforwardShape, 'activation'>,
  weights: AttentionWeights & { readonly shared: SharedParts },
  hidden: Value,
  side: AttentionSide,
  cache?: SublayerCache,
): Value {
  const { hiddenSize, norm, residualScale } = shape;
  const { attended, norm: innerNorm, gateUp, gateUpAdapter, down } = weights.shared;
  const size = graph.op('Shape', [hidden]);
  const embedded = graph.op('Expand', [side.embedded ?? '', size]);
  const both = graph.op('Concat', [hidden, embedded], { axis: 2 });
  const input = emitNorm(graph, norm, both, weights.norm ?? {});
  const wide = { ...shape, hiddenSize: 2 * hiddenSize };
  const heads = emitHeads(graph, wide, weights, input, side, cache);
  const rows = emitNorm(graph, norm, emitLinear(graph, attended, heads), innerNorm);
  const inner = emitAdapted(graph, gateUp, gateUpAdapter, rows);
  const [gate = '', up = ''] = graph.ops('Split', [inner], 2, { axis: -1 });
  const opened = graph.op('Mul', [emitActivation(graph, activation, gate), up]);
  const given = emitLinear(graph, weights.output, emitLinear(graph, down, opened));
  const branch = graph.op('Reshape', [given, size]);
  return emitResidual(graph, norm, residualScale, hidden, branch, weights);
}

import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Width } from '../width-pruning/width';
import { emitActivation } from '../parts/activations';
import { emitAdapted, sharedPartLinears } from '../parts/adapted';
import type { Adapter, SharedParts } from '../parts/adapted';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { Norm } from '../parts/norm';
import type { SharedNames } from '../shared-modules';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { Attention } from './attention';
import { emitHeads } from './attention-heads';
import type { AttentionShape, AttentionWeights } from './attention-heads';
import type { BranchInput, RoledLinear, SpecialSide } from './sublayer';

type SharedWeights = AttentionWeights & { readonly shared: SharedParts };

/** A transformer that several blocks share, over the stream and the embedding side by side (Zamba2, arXiv 2411.15242). */
export class SharedAttention extends Attention<SharedWeights> {
  public override get specialSides(): readonly SpecialSide[] {
    return ['embedded'];
  }

  public override get linears(): readonly Linear[] {
    return [
      ...super.linears.slice(0, -1),
      ...sharedPartLinears(this.weights.shared),
      this.weights.output,
    ];
  }

  /** The other layers belong to other blocks too. */
  protected override get roles(): readonly RoledLinear[] {
    return [['output', this.weights.output]];
  }

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    return [this.weights.shared.norm];
  }

  public override mapLinears(map: (linear: Linear) => Linear): this {
    return this.withWeights({ ...this.weights, output: map(this.weights.output) });
  }

  public override get width(): Width | undefined {
    return undefined;
  }

  /** Its norm is that of the stream and the embedding together. */
  protected override emitNormed(_graph: GraphBuilder, x: Value): Value {
    return x;
  }

  protected override emitBranch(
    graph: GraphBuilder,
    x: Value,
    { side, options }: BranchInput,
  ): Value {
    const { hiddenSize, norm } = this.shape;
    const { shared, output } = this.weights;
    const { attended, gateUp, gateUpAdapter, down, activation } = shared;
    const size = graph.op('Shape', [x]);
    const embedded = graph.op('Expand', [side.embedded ?? '', size]);
    const both = graph.op('Concat', [x, embedded], { axis: 2 });
    const input = emitNorm(graph, norm, both, this.weights.norm ?? {});
    const wide = { ...this.shape, hiddenSize: 2 * hiddenSize };
    const heads = emitHeads(graph, wide, this.weights, input, side, options.cache);
    const rows = emitNorm(graph, norm, emitLinear(graph, attended, heads), shared.norm);
    const inner = emitAdapted(graph, gateUp, gateUpAdapter, rows);
    const [gate = '', up = ''] = graph.ops('Split', [inner], 2, { axis: -1 });
    const opened = graph.op('Mul', [emitActivation(graph, activation, gate), up]);
    const given = emitLinear(graph, output, emitLinear(graph, down, opened));
    return graph.op('Reshape', [given, size]);
  }
}

/** Weights of the transformer that `block` uses, whose tensors and other blocks' begin with `placeOf(block)`. */
export function findSharedTransformer(
  names: SharedNames,
  config: ModelConfig,
  tensors: TensorFinder,
  placeOf: (block: number) => string,
  block: number,
  { hiddenSize: hidden, numHeads, numKeyValueHeads, headDim }: AttentionShape,
): SharedWeights {
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
      activation: config.hidden_act,
    },
    output: tensors.linear(`${placeOf(block)}${names.output}`, hidden, hidden, false),
  };
}

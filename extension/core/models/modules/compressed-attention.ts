import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Width } from '../width-pruning/width';
import { maskedScore } from '../parts/causal-mask';
import {
  emitCompressed,
  emitEndedMask,
  emitUnrotatedEnd,
  emitRotatedEnd,
  emitSelectionMask,
} from '../parts/compressed/compressor';
import type { Compressing } from '../parts/compressed/compressor';
import type {
  CompressedNames,
  CompressedParts,
  CompressedShape,
  Compressor,
} from '../parts/compressed/compressed-parts';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { Norm } from '../parts/norm';
import { emitProbabilities } from '../parts/attention-part';
import type { Architecture } from '../transformer/architecture';
import type { TensorFinder } from '../transformer/tensor-finder';
import { Attention } from './attention';
import type { AttentionShape, AttentionWeights } from './attention-heads';
import type { BranchInput, SpecialSide } from './sublayer';
import { findWiring } from './wiring';

type CompressedWeights = AttentionWeights & { readonly compressed: CompressedParts };

/**
 * Attention over near tokens and compressed runs of earlier ones (DeepSeek-V4). `queryKeyValue` is [latent of queries,
 * queries, keys]; values are the keys with the rotation of their positions, and are rotated back by that of the query.
 */
export class CompressedAttention extends Attention<CompressedWeights> {
  public override get specialSides(): readonly SpecialSide[] {
    return this.weights.compressed.compressor === undefined ? [] : ['positions'];
  }

  /** Layers of the compressors and the indexer stay dense, as routers do. */
  public override get linears(): readonly Linear[] {
    const { compressed, output } = this.weights;
    const { groups, compressor, indexer } = compressed;
    const own = [
      groups,
      compressor?.values,
      compressor?.gate,
      indexer?.compressor.values,
      indexer?.compressor.gate,
      indexer?.query,
      indexer?.weights,
    ].filter((linear) => linear !== undefined);
    return [...super.linears.slice(0, -1), ...own, output];
  }

  private get compressors(): readonly Compressor[] {
    const { compressor, indexer } = this.weights.compressed;
    return [compressor, indexer?.compressor].filter((one) => one !== undefined);
  }

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    return [...super.innerNorms, ...this.compressors.map(({ norm }) => norm)];
  }

  protected override get otherTensors(): readonly (LazyTensor | undefined)[] {
    return [...super.otherTensors, ...this.compressors.map(({ places }) => places)];
  }

  public override get width(): Width | undefined {
    return undefined;
  }

  /** Cached values per token: one key, which is also the value, and 1/rate of a compressed key. */
  public override get cachedNumbers(): number {
    const { headDim } = this.shape;
    const { compressor, indexer } = this.weights.compressed;
    const numbersPerRun = headDim + (indexer?.headDim ?? 0);
    return headDim + (compressor === undefined ? 0 : numbersPerRun / compressor.rate);
  }

  /** Compressed keys are cached for the whole context. */
  public override get cacheWindow(): undefined {
    return undefined;
  }

  protected override emitBranch(
    graph: GraphBuilder,
    normed: Value,
    { side: { rotation, mask, positions }, options: { cache } }: BranchInput,
  ): Value {
    if (rotation === undefined) {
      throw new Error('compressed attention turns its queries and keys');
    }
    const { norm, numHeads, headDim, hiddenSize, scale } = this.shape;
    const { queryKeyValue, latentNorms, compressed, output } = this.weights;
    const [down, up, keys] = queryKeyValue;
    const { rotary } = rotation;
    const applied = (linear: Linear | undefined, rows: Value): Value =>
      linear === undefined ? rows : emitLinear(graph, linear, rows);
    const size = graph.op('Shape', [normed]);
    const leading = graph.op('Slice', [size, graph.ints([0]), graph.ints([2])]);
    const rows = graph.op('Reshape', [normed, graph.ints([-1, hiddenSize])]);
    const splitHeads = (x: Value, heads: number): Value => {
      const split = graph.op('Concat', [leading, graph.ints([heads, headDim])], { axis: 0 });
      return graph.op('Transpose', [graph.op('Reshape', [x, split])], { perm: [0, 2, 1, 3] });
    };
    const rotateEnd = (x: Value): Value => emitRotatedEnd(graph, rotary, headDim, x, rotation);

    const latent = emitNorm(graph, norm, applied(down, rows), latentNorms?.query ?? {});
    const query = rotateEnd(emitNorm(graph, norm, splitHeads(applied(up, latent), numHeads), {}));
    const own = rotateEnd(
      splitHeads(emitNorm(graph, norm, applied(keys, rows), latentNorms?.keyValue ?? {}), 1),
    );
    const past = cache?.past('key', [1, 'positions', headDim]);
    const near =
      past === undefined
        ? own
        : graph.step('cache', () => graph.op('Concat', [past, own], { axis: 2 }));
    cache?.keep('key', near);

    const scaled = graph.op('Mul', [query, graph.scalar(scale)]);
    const biasedScores = (of: Value, bias: Value): Value => {
      const products = graph.op('MatMul', [
        scaled,
        graph.op('Transpose', [of], { perm: [0, 1, 3, 2] }),
      ]);
      return graph.op('Add', [products, bias]);
    };
    const compressing = { rows, leading, style: norm, rotary, cache };
    const runs = emitRuns(graph, compressed, compressing, latent, rotation, positions ?? '');
    const parts = [{ keys: near, bias: mask ?? '' }, ...(runs === undefined ? [] : [runs])];
    const joined = (all: readonly Value[], axis: number): Value =>
      all.length === 1 ? (all[0] ?? '') : graph.op('Concat', all, { axis });
    const attended = graph.step('attention', () => {
      const scores = joined(
        parts.map((part) => biasedScores(part.keys, part.bias)),
        3,
      );
      const probabilities = emitProbabilities(graph, this.weights.parts ?? [], scores, undefined);
      const seen = joined(
        parts.map((part) => part.keys),
        2,
      );
      return graph.op('MatMul', [probabilities, seen]);
    });
    const back = emitUnrotatedEnd(graph, rotary, headDim, attended, rotation);
    const attendedRows = graph.op('Reshape', [
      graph.op('Transpose', [back], { perm: [0, 2, 1, 3] }),
      graph.ints([-1, numHeads * headDim]),
    ]);
    const given = applied(output, applied(compressed.groups, attendedRows));
    return graph.op('Reshape', [given, size]);
  }
}

/** Emits compressed keys and the bias of their scores [batch | 1, 1, sequence, keys]; undefined without a compressor. */
function emitRuns(
  graph: GraphBuilder,
  { compressor, indexer }: CompressedParts,
  compressing: Compressing,
  latent: Value,
  tables: { readonly cos: Value; readonly sin: Value },
  positions: Value,
): { readonly keys: Value; readonly bias: Value } | undefined {
  if (compressor === undefined) {
    return undefined;
  }
  const keys = graph.step('compressed-keys', () =>
    emitCompressed(graph, compressor, compressing, 'compressor'),
  );
  const ended = emitEndedMask(graph, compressor, positions, keys);
  const choice =
    indexer === undefined
      ? graph.scalar(0)
      : graph.step('chosen-keys', () =>
          emitSelectionMask(graph, indexer, compressing, latent, tables, ended),
        );
  const bias = graph.op('Where', [ended, choice, graph.scalar(maskedScore)]);
  return { keys, bias: graph.op('Unsqueeze', [bias, graph.ints([1])]) };
}

/** Compressed-attention weights of the block with this tensor prefix. */
export function findCompressed(
  { queryRank, groups, groupRank, rate, indexer }: CompressedShape,
  { wiring, output, compressed: names }: Architecture['attention'],
  tensors: TensorFinder,
  prefix: string,
  { hiddenSize: hidden, numHeads, headDim }: AttentionShape,
): CompressedWeights {
  if (names === undefined) {
    throw new Error('a family without compressed attention has none to be found');
  }
  const linear = (name: string, out: number, width: number): Linear =>
    tensors.linear(`${prefix}${name}`, out, width, false);
  const compressor = (
    own: CompressedNames['compressor'],
    dim: number,
    runs: number,
  ): Compressor => {
    // If keys are selected, the key of a run also depends on the previous run.
    const width = indexer === undefined ? dim : 2 * dim;
    return {
      rate: runs,
      values: linear(own.values, width, hidden),
      gate: linear(own.gate, width, hidden),
      places: tensors.take(`${prefix}${own.places}`, [runs, width]),
      norm: tensors.norm(`${prefix}${own.norm}`, dim),
    };
  };
  const inner = groups * groupRank;
  const compressed: CompressedParts = {
    groups: {
      weight: tensors.reshaped(`${prefix}${names.groups}.weight`, [
        inner,
        (numHeads * headDim) / groups,
        1,
      ]),
      groups,
    },
    ...(rate === undefined ? {} : { compressor: compressor(names.compressor, headDim, rate) }),
    ...(rate === undefined || indexer === undefined
      ? {}
      : {
          indexer: {
            ...indexer,
            compressor: compressor(names.indexer.compressor, indexer.headDim, rate),
            query: linear(names.indexer.query, indexer.numHeads * indexer.headDim, queryRank),
            weights: linear(names.indexer.weights, indexer.numHeads, hidden),
          },
        }),
  };
  return {
    ...findWiring(wiring, tensors, prefix, hidden),
    queryKeyValue: [
      linear(names.queryDown, queryRank, hidden),
      linear(names.queryUp, numHeads * headDim, queryRank),
      linear(names.key, headDim, hidden),
    ],
    latentNorms: {
      query: tensors.norm(`${prefix}${names.queryNorm}`, queryRank),
      keyValue: tensors.norm(`${prefix}${names.keyNorm}`, headDim),
    },
    compressed,
    output: linear(output, hidden, inner),
  };
}

import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { PerLayerNames } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import { partTensors } from '../transformer/part-tensors';
import type { TensorFinder } from '../transformer/tensor-finder';
import { emitActivation } from './feedforward';
import type { FeedforwardShape } from './feedforward';
import { emitLinearOver, emitTableRows } from './linear';
import type { Linear } from './linear';
import { emitNorm } from './norm';
import type { Norm, NormStyle } from './norm';
import { emitWeight } from './weight';

/** What a block does to the stream behind its sublayers, whichever of them are left. */
export interface BlockEnd {
  readonly block: number;
  readonly perLayer?: { readonly gate: Linear; readonly projection: Linear; readonly norm: Norm };
  /** [1] */
  readonly factor?: LazyTensor;
}

/** What each token brings to the ends of the blocks (per-layer embeddings of Gemma 3n). */
export interface PerLayer {
  /** [vocabulary, blocks · width] */
  readonly table: Linear;
  /** [blocks · width, hidden] */
  readonly projection: Linear;
  readonly norm: Norm;
  readonly blocks: number;
  readonly width: number;
}

/** Name of the side value that the end of a block reads: [batch, sequence, width]. */
export const perLayerName = (block: number): string => `per-layer.${block}`;

/** Names of the side values that these ends read. */
export const endSides = (ends: readonly BlockEnd[] = []): string[] =>
  ends.flatMap(({ block, perLayer }) => (perLayer === undefined ? [] : [perLayerName(block)]));

export const endLinears = (ends: readonly BlockEnd[] = []): Linear[] =>
  ends.flatMap(({ perLayer }) =>
    perLayer === undefined ? [] : [perLayer.gate, perLayer.projection],
  );

export function endTensors(
  ends: readonly BlockEnd[] = [],
  tensorsOf = partTensors,
): readonly LazyTensor[] {
  return [
    ...endLinears(ends).flatMap((linear) => tensorsOf(linear)),
    ...ends.flatMap(({ perLayer, factor }) => [
      ...(perLayer === undefined ? [] : tensorsOf(perLayer.norm)),
      ...(factor === undefined ? [] : [factor]),
    ]),
  ];
}

/** Emits the ends of blocks one after the other, on x [batch, sequence, hidden]; `seen` is told what is in front of each. */
export function emitEnds(
  graph: GraphBuilder,
  { norm, activation }: Pick<FeedforwardShape, 'norm' | 'activation'>,
  ends: readonly BlockEnd[] = [],
  x: Value,
  side: Readonly<Record<string, Value>>,
  seen?: Map<number, Value>,
): Value {
  return ends.reduce(
    (before, { block, perLayer, factor }) =>
      graph.within(`block.${block}.end`, () => {
        seen?.set(block, before);
        let after = before;
        if (perLayer !== undefined) {
          const gate = emitLinearOver(graph, perLayer.gate, before);
          const opened = emitActivation(graph, activation, gate);
          const brought = graph.op('Mul', [opened, side[perLayerName(block)] ?? '']);
          const added = emitLinearOver(graph, perLayer.projection, brought);
          after = graph.op('Add', [before, emitNorm(graph, norm, added, perLayer.norm)]);
        }
        return factor === undefined ? after : graph.op('Mul', [after, emitWeight(graph, factor)]);
      }),
    x,
  );
}

/**
 * Emits what tokens bring to each block, by the names of {@link perLayerName}:
 * (norm(projection(embedded) · hidden^−½) + table · width^½) · 2^−½, cut into blocks.
 * @param embedded scaled embeddings [batch, sequence, hidden]
 */
export function emitPerLayer(
  graph: GraphBuilder,
  style: NormStyle,
  { table, projection, norm, blocks, width }: PerLayer,
  ids: Value,
  embedded: Value,
): Record<string, Value> {
  const inBlocks = (x: Value): Value => graph.op('Reshape', [x, graph.ints([0, 0, blocks, width])]);
  const times = (x: Value, factor: number): Value => graph.op('Mul', [x, graph.scalar(factor)]);
  const [, hidden = 1] = projection.weight.shape;
  const read = times(emitLinearOver(graph, projection, embedded), hidden ** -0.5);
  const rows = times(emitTableRows(graph, table, ids), Math.sqrt(width));
  const both = graph.op('Add', [emitNorm(graph, style, inBlocks(read), norm), inBlocks(rows)]);
  const flat = graph.op('Reshape', [times(both, Math.SQRT1_2), graph.ints([0, 0, blocks * width])]);
  const sizes = graph.ints(Array.from({ length: blocks }, () => width));
  const cut = graph.ops('Split', [flat, sizes], blocks, { axis: -1 });
  return Object.fromEntries(cut.map((value, block) => [perLayerName(block), value]));
}

/** The tensors of per-layer embeddings, where a model has them. */
export function findPerLayer(
  names: PerLayerNames | undefined,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): PerLayer | undefined {
  const width = names?.width(config);
  if (names === undefined || width === undefined) {
    return undefined;
  }
  const { num_hidden_layers: blocks, hidden_size: hidden } = config;
  return {
    table: {
      weight: tensors.take(`${prefix}${names.table}.weight`, [
        tensors.rows(`${prefix}${names.table}`),
        blocks * width,
      ]),
    },
    projection: tensors.linear(`${prefix}${names.projection}`, blocks * width, hidden, false),
    norm: tensors.norm(`${prefix}${names.norm}`, width),
    blocks,
    width,
  };
}

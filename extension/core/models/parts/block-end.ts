import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { PerLayerNames } from '../transformer/block-end-names';
import type { ModelConfig } from '../transformer/model-config';
import { partTensors } from '../transformer/part-tensors';
import type { TensorFinder } from '../transformer/tensor-finder';
import { emitCorrection, emitLaurel, emitMerged, emitPrediction } from './streams/altup';
import type { Laurel, StreamMixing } from './streams/altup';
import { emitActivation } from './activations';
import { emitLinearOver, emitTableRows } from './linear';
import type { Linear } from './linear';
import { emitNorm } from './norm';
import type { Norm, NormStyle } from './norm';
import { emitWeight } from './weight';

/** Operations of a block on the stream outside its sublayers. They stay when sublayers are removed. */
export interface BlockEnd {
  readonly block: number;
  /** Prediction before the first sublayer, for models with several streams. */
  readonly predict?: StreamMixing;
  /** Low-rank residual after the attention. */
  readonly laurel?: Laurel;
  /** Mixing of several streams after the last sublayer. */
  readonly correct?: StreamMixing;
  /** [hidden]: scale of the input of `perLayer`'s gate. */
  readonly scale?: LazyTensor;
  readonly perLayer?: { readonly gate: Linear; readonly projection: Linear; readonly norm: Norm };
  /** [1] */
  readonly factor?: LazyTensor;
  /** Projections that merge several streams into one after the last block. */
  readonly merge?: readonly Linear[];
}

/** Norms and activation of a model. */
interface EndShape {
  readonly norm: NormStyle;
  readonly activation: string;
}

/** Per-layer embeddings of tokens, added at block ends (Gemma 3n). */
export interface PerLayer {
  /** [vocabulary, blocks · width] */
  readonly table: Linear;
  /** [blocks · width, hidden] */
  readonly projection: Linear;
  readonly norm: Norm;
  readonly blocks: number;
  readonly width: number;
  /** Number of tokens; those beyond the table's rows bring what the first does. */
  readonly words: number;
}

/** Name of the side value that the end of a block reads: [batch, sequence, width]. */
export const perLayerName = (block: number): string => `per-layer.${block}`;

/** Names of the side inputs of block ends (Gemma 3n and 4): the per-layer embeddings. */
export const endSides = (ends: readonly BlockEnd[] = []): string[] =>
  ends.flatMap(({ block, perLayer }) => (perLayer === undefined ? [] : [perLayerName(block)]));

/** Linear layers at the ends of blocks (Gemma 3n and 4). */
export const endLinears = (ends: readonly BlockEnd[] = []): Linear[] =>
  ends.flatMap(({ predict, laurel, correct, perLayer, merge = [] }) => [
    ...[predict, correct].flatMap((mixing) =>
      mixing === undefined ? [] : [mixing.router, mixing.coefficients],
    ),
    ...(laurel === undefined ? [] : [laurel.left, laurel.right]),
    ...(perLayer === undefined ? [] : [perLayer.gate, perLayer.projection]),
    ...merge,
  ]);

export function endTensors(
  ends: readonly BlockEnd[] = [],
  tensorsOf = partTensors,
): readonly LazyTensor[] {
  const norms = ends.flatMap(({ predict, laurel, correct, perLayer }) => [
    predict?.norm,
    laurel?.norm,
    laurel?.postNorm,
    correct?.norm,
    perLayer?.norm,
  ]);
  return [
    ...endLinears(ends).flatMap((linear) => tensorsOf(linear)),
    ...norms.flatMap((norm) => (norm === undefined ? [] : tensorsOf(norm))),
    ...ends.flatMap(({ scale, factor }) => [scale, factor].filter((one) => one !== undefined)),
  ];
}

/** True if one of the ends changes other streams than the first. */
export const changesStreams = (ends: readonly BlockEnd[] = []): boolean =>
  ends.some(({ predict, correct }) => predict !== undefined || correct !== undefined);

/** Number of additional streams that the ends read. */
export function streamsRead(ends: readonly BlockEnd[] = [], count: number): number {
  return ends.some(({ merge }) => merge !== undefined) || changesStreams(ends)
    ? count
    : ends.some(({ laurel }) => laurel !== undefined)
      ? 1
      : 0;
}

/** The stream that sublayers read and, for models with several streams, all predicted streams of the block. */
export interface Streams {
  readonly hidden: Value;
  readonly expected: readonly Value[];
}

/** Emits block ends in order on [batch, sequence, hidden]. Stores the input of each end in `seen`, by block. */
export function emitEnds(
  graph: GraphBuilder,
  shape: EndShape,
  ends: readonly BlockEnd[] = [],
  streams: Streams,
  side: Readonly<Record<string, Value>>,
  seen?: Map<number, Value>,
): Streams {
  return ends.reduce((before, end) => {
    const { block, predict } = end;
    if (predict !== undefined) {
      return graph.within(`block.${block}.start`, () => {
        const expected = graph.step('expected-streams', () =>
          emitPrediction(graph, shape.norm, predict, before.expected),
        );
        return { hidden: expected[0] ?? '', expected };
      });
    }
    if (seen?.has(block) === false) {
      seen.set(block, before.hidden);
    }
    return graph.within(`block.${block}.end`, () => emitEnd(graph, shape, end, before, side));
  }, streams);
}

function emitEnd(
  graph: GraphBuilder,
  { norm, activation }: EndShape,
  { block, laurel, correct, scale, perLayer, factor, merge }: BlockEnd,
  { hidden, expected }: Streams,
  side: Readonly<Record<string, Value>>,
): Streams {
  if (laurel !== undefined) {
    const sum = graph.step('laurel', () =>
      emitLaurel(graph, norm, laurel, expected[0] ?? '', hidden),
    );
    return { hidden: sum, expected };
  }
  if (merge !== undefined) {
    const mean = graph.step('mean-stream', () => emitMerged(graph, merge, expected));
    return { hidden: mean, expected: [] };
  }
  const all =
    correct === undefined
      ? [hidden]
      : graph.step('corrected-streams', () =>
          emitCorrection(graph, norm, correct, expected, hidden),
        );
  const [first = '', ...others] = all;
  const brought =
    perLayer === undefined
      ? undefined
      : emitBrought(graph, { norm, activation }, perLayer, side[perLayerName(block)] ?? '', {
          x: first,
          scale,
        });
  const plus = (x: Value): Value => (brought === undefined ? x : graph.op('Add', [x, brought]));
  const after = correct === undefined ? plus(first) : first;
  return {
    hidden: factor === undefined ? after : graph.op('Mul', [after, emitWeight(graph, factor)]),
    expected: correct === undefined ? expected : [first, ...others.map(plus)],
  };
}

/** Emits norm(projection(activation(gate(x · scale)) · brought)). */
function emitBrought(
  graph: GraphBuilder,
  { norm, activation }: EndShape,
  perLayer: NonNullable<BlockEnd['perLayer']>,
  brought: Value,
  { x, scale }: { readonly x: Value; readonly scale: LazyTensor | undefined },
): Value {
  const scaled = scale === undefined ? x : graph.op('Mul', [x, emitWeight(graph, scale)]);
  const opened = emitActivation(graph, activation, emitLinearOver(graph, perLayer.gate, scaled));
  const added = emitLinearOver(graph, perLayer.projection, graph.op('Mul', [opened, brought]));
  return emitNorm(graph, norm, added, perLayer.norm);
}

/**
 * Emits what tokens bring to each block, by the names of {@link perLayerName}:
 * (norm(projection(embedded) · hidden^−½) + table · width^½) · 2^−½, cut into blocks.
 * @param embedded scaled embeddings [batch, sequence, hidden]
 */
export function emitPerLayer(
  graph: GraphBuilder,
  style: NormStyle,
  { table, projection, norm, blocks, width, words }: PerLayer,
  ids: Value,
  embedded: Value,
): Record<string, Value> {
  return graph.step('per-layer', () => {
    const splitBlocks = (x: Value): Value =>
      graph.op('Reshape', [x, graph.ints([0, 0, blocks, width])]);
    const times = (x: Value, factor: number): Value => graph.op('Mul', [x, graph.scalar(factor)]);
    const [, hidden = 1] = projection.weight.shape;
    const read = times(emitLinearOver(graph, projection, embedded), hidden ** -0.5);
    const [known = 0] = table.weight.shape;
    const rows = times(
      emitTableRows(graph, table, known < words ? emitKnown(graph, ids, known) : ids),
      Math.sqrt(width),
    );
    const both = graph.op('Add', [
      emitNorm(graph, style, splitBlocks(read), norm),
      splitBlocks(rows),
    ]);
    const flat = graph.op('Reshape', [
      times(both, Math.SQRT1_2),
      graph.ints([0, 0, blocks * width]),
    ]);
    const sizes = graph.ints(Array.from({ length: blocks }, () => width));
    const cut = graph.ops('Split', [flat, sizes], blocks, { axis: -1 });
    return Object.fromEntries(cut.map((value, block) => [perLayerName(block), value]));
  });
}

/** Emits ids, with 0 for ids ≥ `known`. */
function emitKnown(graph: GraphBuilder, ids: Value, known: number): Value {
  const [least = '', zero = ''] = [known, 0].map((number) => graph.ints([number]));
  return graph.op('Where', [graph.op('Less', [ids, least]), ids, zero]);
}

/** Finds the tensors of per-layer embeddings, if the model has them. */
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
    words: config.vocab_size,
  };
}

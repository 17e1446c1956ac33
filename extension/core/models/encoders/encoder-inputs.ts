import { emitLength } from '../../onnx/emit-sequence';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { NormStyle } from '../parts/norm';
import { emitRows, emitWeight } from '../parts/weight';
import type { EncoderEmbedding } from './find-embedding';

/**
 * Emits position ids for `ids` [batch, sequence]: 0, 1, … [sequence]. With a `padding` id, they are padding + 1, … for
 * other ids, and padding for padding.
 */
export function emitPositions(graph: GraphBuilder, padding: number | undefined, ids: Value): Value {
  if (padding === undefined) {
    const length = graph.op('Squeeze', [emitLength(graph, ids, 1)]);
    return graph.op('Range', [graph.ints([0], []), length, graph.ints([1], [])]);
  }
  const pad = graph.ints([padding], []);
  const counts = graph.op('Cast', [graph.op('Not', [graph.op('Equal', [ids, pad])])], {
    to: DataType.INT64,
  });
  const numbers = graph.op('CumSum', [counts, graph.ints([1], [])]);
  return graph.op('Add', [graph.op('Mul', [numbers, counts]), pad]);
}

/** Emits the embedding of a text's tokens, up to the first norm of the stream: [batch, sequence, hidden]. */
export function emitTextEmbedding(
  graph: GraphBuilder,
  embedding: Extract<EncoderEmbedding, { kind: 'text' }>,
  style: NormStyle,
  segments: Value,
): Value {
  const { types, positions, positionOffset, firstRows, projection, padding } = embedding;
  const places = (): Value => {
    const numbers = emitPositions(graph, padding, 'input_ids');
    return positionOffset === 0
      ? numbers
      : graph.op('Add', [numbers, graph.ints([positionOffset], [])]);
  };
  const added = [
    ...(types === undefined
      ? []
      : [graph.step('segments', () => emitRows(graph, types, segments))]),
    ...(positions === undefined
      ? []
      : [graph.step('positions', () => emitRows(graph, positions, places()))]),
    ...firstRows.map((table) => emitRows(graph, table, graph.ints([0]))),
  ];
  const sum = added.reduce(
    (total, one) => graph.op('Add', [total, one]),
    emitWords(graph, embedding),
  );
  if (projection === undefined) {
    return sum;
  }
  const { linear, norm } = projection;
  return emitLinearOver(
    graph,
    linear,
    norm === undefined ? sum : emitNorm(graph, style, sum, norm),
  );
}

/** Emits the words, scaled, with what they are joined with or hidden by. */
function emitWords(
  graph: GraphBuilder,
  { words, scale, joined, hiddenBy }: Extract<EncoderEmbedding, { kind: 'text' }>,
): Value {
  const rows = emitTableRows(graph, words, 'input_ids');
  const plain = scale === 1 ? rows : graph.op('Mul', [rows, graph.scalar(scale)]);
  const shown = hiddenBy === undefined ? plain : emitHidden(graph, plain, hiddenBy);
  if (joined === undefined) {
    return shown;
  }
  const leading = graph.op('Shape', ['input_ids']);
  const others = joined.tables.map((table) => {
    const size = graph.op('Concat', [leading, graph.ints([table.shape[1] ?? 0])], { axis: 0 });
    return graph.op('Expand', [emitRows(graph, table, graph.ints([0])), size]);
  });
  const all = graph.op('Concat', [shown, ...others], { axis: -1 });
  return emitLinearOver(graph, joined.projection, all);
}

/** Share of words masked in training. */
const hiddenShare = 0.15 * 0.8;

/**
 * Emits word embeddings with those of token `id` set to zero, scaled as if the training share were
 * masked (ESM).
 */
function emitHidden(graph: GraphBuilder, words: Value, id: number): Value {
  const isHidden = graph.op('Equal', ['input_ids', graph.ints([id], [])]);
  const count = (ids: Value): Value =>
    graph.op('ReduceSum', [graph.op('Cast', [ids], { to: DataType.FLOAT }), graph.ints([1])]);
  const share = graph.op('Div', [count(isHidden), count('attention_mask')]);
  const shown = graph.op('Div', [
    graph.scalar(1 - hiddenShare),
    graph.op('Sub', [graph.scalar(1), share]),
  ]);
  const left = graph.op('Where', [
    graph.op('Unsqueeze', [isHidden, graph.ints([2])]),
    graph.scalar(0),
    words,
  ]);
  return graph.op('Mul', [left, graph.op('Unsqueeze', [shown, graph.ints([2])])]);
}

/**
 * Emits class token, other tokens, registers and patches of `values`, positions added: pixels [batch, channels, height,
 * width], or a spectrogram [batch, width, height].
 */
export function emitPatches(
  graph: GraphBuilder,
  embedding: Extract<EncoderEmbedding, { kind: 'image' }>,
  values: Value,
): Value {
  const pixels = embedding.isSpectrogram
    ? graph.op('Unsqueeze', [graph.op('Transpose', [values], { perm: [0, 2, 1] }), graph.ints([1])])
    : values;
  const { weight, bias } = embedding.patches;
  const [hidden = 0, , ...patch] = weight.shape;
  const biases = bias === undefined ? [] : [bias];
  const projected = graph.step('patches', () =>
    graph.op('Conv', [pixels, ...[weight, ...biases].map((tensor) => emitWeight(graph, tensor))], {
      kernel_shape: patch,
      strides: [...embedding.strides],
    }),
  );
  const patches = graph.op(
    'Transpose',
    [graph.op('Reshape', [projected, graph.ints([0, hidden, -1])])],
    { perm: [0, 2, 1] },
  );
  const batch = emitLength(graph, pixels, 0);
  const size = graph.op('Concat', [batch, graph.ints([1, hidden])], { axis: 0 });
  const first = embedding.tokens.map((token) =>
    graph.op('Expand', [emitWeight(graph, token), size]),
  );
  const tokens =
    first.length === 0
      ? patches
      : graph.step('class-token', () => graph.op('Concat', [...first, patches], { axis: 1 }));
  const { positions } = embedding;
  const placed =
    positions === undefined
      ? tokens
      : graph.step('added-positions', () =>
          graph.op('Add', [tokens, emitWeight(graph, positions)]),
        );
  if (embedding.registers === undefined) {
    return placed;
  }
  const count = embedding.tokens.length;
  const part = (from: number, to: number): Value =>
    graph.op('Slice', [placed, graph.ints([from]), graph.ints([to]), graph.ints([1])]);
  const registers = graph.op('Expand', [
    emitWeight(graph, embedding.registers),
    graph.op('Concat', [batch, graph.ints([1, 1])], { axis: 0 }),
  ]);
  const [height, width] = embedding.grid;
  const parts = [part(0, count), registers, part(count, count + height * width)];
  return graph.step('registers', () => graph.op('Concat', parts, { axis: 1 }));
}

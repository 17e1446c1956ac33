/**
 * The network of arXiv 2303.03340 written down once more, plainly and in double precision, from its
 * definition alone: what graphs and gradients are held against. One example at a time.
 */
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import type { EncoderOptions } from '../../../extension/core/symbolic/module/encoder';

/** Numbers of parameters, by name. */
export type Weights = Readonly<Record<string, readonly number[]>>;

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const add = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, i) => value + (b[i] ?? Number.NaN));
const mean = (rows: readonly (readonly number[])[]): number[] =>
  rows
    .reduce<number[]>(
      (total, row) => add(total, row),
      (rows[0] ?? []).map(() => 0),
    )
    .map((value) => value / rows.length);

/** W x + b, W row by row. */
function affine(weights: Weights, name: string, x: readonly number[]): number[] {
  const matrix = weights[`${name}.weight`] ?? [];
  const rows = matrix.length / x.length;
  const bias = weights[`${name}.bias`] ?? Array.from({ length: rows }, () => 0);
  return Array.from({ length: rows }, (_, row) =>
    x.reduce(
      (total, value, i) => total + value * (matrix[row * x.length + i] ?? Number.NaN),
      bias[row] ?? Number.NaN,
    ),
  );
}

function norm(weights: Weights, name: string, x: readonly number[]): number[] {
  const middle = sum(x) / x.length;
  const variance = sum(x.map((value) => (value - middle) ** 2)) / x.length;
  const [scale = [], bias = []] = [weights[`${name}.weight`], weights[`${name}.bias`]];
  return x.map(
    (value, i) =>
      ((value - middle) / Math.sqrt(variance + 1e-5)) * (scale[i] ?? Number.NaN) +
      (bias[i] ?? Number.NaN),
  );
}

/** The error function by its series, which converges everywhere. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 && n < 200; n++) {
    term *= -(x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}
const gelu = (x: number): number => (x / 2) * (1 + erf(x / Math.SQRT2));

function plainPosition([x, y]: readonly [number, number], width: number): number[] {
  const count = width / 4;
  const row: number[] = [];
  for (const [at, wave] of [
    [x, Math.sin],
    [x, Math.cos],
    [y, Math.sin],
    [y, Math.cos],
  ] as const) {
    for (let k = 0; k < count; k++) {
      row.push(wave(at / 10_000 ** (k / (count - 1))));
    }
  }
  return row;
}

/** @param image [size, size] */
function plainEncoder(
  weights: Weights,
  options: EncoderOptions,
  image: readonly number[],
): number[] {
  const { imageSize, patch, width, heads, headSize } = options;
  const side = imageSize / patch;
  // Channels first, as convolutions see them: [channel][row][column].
  type Map3 = number[][][];
  const unshuffled: Map3 = Array.from({ length: patch ** 2 }, (_, channel) =>
    Array.from({ length: side }, (_row, y) =>
      Array.from({ length: side }, (_column, x) => {
        const [dy, dx] = [Math.floor(channel / patch), channel % patch];
        return image[(y * patch + dy) * imageSize + x * patch + dx] ?? Number.NaN;
      }),
    ),
  );
  const convolve = (name: string, input: Map3, filters: number, kernel: number): Map3 => {
    const weight = weights[`${name}.weight`] ?? [];
    const reach = (kernel - 1) / 2;
    return Array.from({ length: filters }, (_, filter) =>
      Array.from({ length: side }, (_row, y) =>
        Array.from({ length: side }, (_column, x) => {
          let total = weights[`${name}.bias`]?.[filter] ?? 0;
          input.forEach((channel, c) => {
            for (let ky = 0; ky < kernel; ky++) {
              for (let kx = 0; kx < kernel; kx++) {
                const value = channel[y + ky - reach]?.[x + kx - reach] ?? 0;
                total +=
                  value * (weight[((filter * input.length + c) * kernel + ky) * kernel + kx] ?? 0);
              }
            }
          });
          return total;
        }),
      ),
    );
  };
  let map = convolve('encoder.embedding', unshuffled, width, 1);
  for (let block = 0; block < options.convolutionBlocks; block++) {
    const name = `encoder.convolutions.${block}.branch`;
    const flat = norm(weights, `${name}.norm`, convolve(`${name}.spatial`, map, width, 3).flat(2));
    const normed = Array.from({ length: width }, (_, channel) =>
      Array.from({ length: side }, (_row, y) =>
        flat.slice((channel * side + y) * side, (channel * side + y + 1) * side),
      ),
    );
    const expanded = convolve(`${name}.expand`, normed, width, 1).map((rows) =>
      rows.map((row) => row.map(gelu)),
    );
    const branch = convolve(`${name}.project`, expanded, width, 1);
    map = map.map((rows, c) => rows.map((row, y) => add(row, branch[c]?.[y] ?? [])));
  }
  let tokens = Array.from({ length: side * side }, (_, token) => {
    const [y, x] = [Math.floor(token / side), token % side];
    return add(
      map.map((rows) => rows[y]?.[x] ?? Number.NaN),
      plainPosition([x, y], width),
    );
  });
  for (let block = 0; block < options.transformerBlocks; block++) {
    const name = `encoder.blocks.${block}`;
    const attended = `${name}.attention.branch`;
    const projected = tokens.map((token) =>
      affine(weights, `${attended}.attention.in_proj`, norm(weights, `${attended}.norm`, token)),
    );
    const inner = heads * headSize;
    const part = (row: readonly number[], which: number, head: number): readonly number[] =>
      row.slice(which * inner + head * headSize, which * inner + (head + 1) * headSize);
    tokens = tokens.map((token, t) => {
      const joined = Array.from({ length: heads }, (_, head) => {
        const query = part(projected[t] ?? [], 0, head);
        const scores = projected.map(
          (row) =>
            sum(part(row, 1, head).map((key, i) => key * (query[i] ?? 0))) / Math.sqrt(headSize),
        );
        const exponents = scores.map(Math.exp);
        const total = sum(exponents);
        return Array.from({ length: headSize }, (_value, i) =>
          sum(
            projected.map(
              (row, j) => ((exponents[j] ?? 0) / total) * (part(row, 2, head)[i] ?? Number.NaN),
            ),
          ),
        );
      }).flat();
      return add(token, affine(weights, `${attended}.attention.out_proj`, joined));
    });
    const forward = `${name}.feedforward.branch`;
    tokens = tokens.map((token) => {
      const normed = norm(weights, `${forward}.norm`, token);
      const hidden = affine(weights, `${forward}.expand`, normed).map(gelu);
      return add(token, affine(weights, `${forward}.project`, hidden));
    });
  }
  return mean(tokens);
}

/** Without dropout. @param prefix of the parameters' names */
export function plainModule(
  weights: Weights,
  prefix: string,
  graph: SymbolicGraph,
  mode: 'clean' | 'compat',
  x: readonly number[],
): number[] {
  const width = x.length;
  const [slots, factor] =
    mode === 'clean'
      ? [graph.nodes.length + graph.edges.length, 1]
      : [graph.nodes.length + 2 * graph.edges.length, 2];
  const start = (id: number, column: number): number[] => {
    const each = Math.floor(width / slots);
    const longer = width - each * (slots - 1);
    const slice = id === 0 ? x.slice(0, longer) : x.slice(longer + (id - 1) * each).slice(0, each);
    const choice = x.map((_, i) => slice[i % slice.length] ?? Number.NaN);
    const cell = id * 11 + column;
    const place: [number, number] =
      mode === 'clean' ? [id, column] : [cell % slots, Math.floor(cell / slots)];
    return add(choice, plainPosition(place, width));
  };
  const edges = new Map(graph.edges.map(({ id, port }) => [id, start(id, port + 1)]));
  let nodes = new Map(graph.nodes.map((id) => [id, start(id, 0)]));
  for (let layer = 0; layer < 3; layer++) {
    nodes = new Map(
      graph.nodes.map((node) => {
        let total = nodes.get(node) ?? [];
        for (const { id, ends } of graph.edges) {
          if (ends.includes(node)) {
            const other = nodes.get(ends[0] === node ? ends[1] : ends[0]) ?? [];
            const message = add(other, edges.get(id) ?? []).map(
              (value) => factor * Math.max(0, value),
            );
            total = add(total, message);
          }
        }
        return [node, affine(weights, `${prefix}convolution_${layer}`, total)];
      }),
    );
  }
  return affine(weights, `${prefix}readout`, mean([...nodes.values()]));
}

export function plainNetwork(
  weights: Weights,
  options: EncoderOptions,
  graph: SymbolicGraph,
  mode: 'clean' | 'compat',
  image: readonly number[],
): number[] {
  const encoded = plainEncoder(weights, options, image);
  return plainModule(weights, 'module.', graph, mode, affine(weights, 'features', encoded));
}

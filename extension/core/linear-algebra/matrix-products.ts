import { floatsInFile } from '../checkpoints/read-tensor';
import { emitWeight } from '../models/parts/weight';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { Value } from '../onnx/graph-builder';
import type { DeviceName } from '../runtime/device';
import { SessionPool } from '../runtime/session-pool';
import {
  doubleOutput,
  doubleTensor,
  floatTensor,
  floatOutput,
  int64Tensor,
} from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import {
  matrixBytes,
  emitMatrix,
  matrixFeed,
  isTransposed,
  matrixKey,
  requireFinite,
  matrixSizes,
  rowsTensor,
} from './matrix-source';
import type { MatrixSource, Rows, StoredMatrix } from './matrix-source';
import type { ScaledGram } from './symmetric-products';
import type { SquareMatrix } from './small-matrix';
import { sumOfSquares } from './small-matrix';
import { emitCrossProducts, emitQuadraticForms } from './symmetric-products';

/** Elements weighted in one run. */
const numbersPerRun = 1 << 22;

/**
 * Large matmuls of matrix algorithms, run by ONNX Runtime; matrices in files are memory-mapped. Vectors are rows, so
 * that no matrix is transposed: A·y is yᵀ·Aᵀ, one Gemm.
 */
export class MatrixProducts {
  private readonly large: SessionPool;
  private readonly stored: OneMatrixPool;
  /** Sessions for Gram matrices in float64, which not every device supports. */
  private readonly exact: SessionPool;

  /** @param threads see SessionOptions.threads */
  public constructor(device: DeviceName, memoryBytes: number, threads?: number) {
    const own = threads === undefined ? {} : { threads };
    const budget = { bytes: memoryBytes, repackedBytes: 0 };
    this.large = new SessionPool({ device, ...own }, budget);
    this.stored = new OneMatrixPool({ device, ...own }, budget);
    this.exact = new SessionPool({ device: 'cpu', ...own }, budget);
  }

  /** A·y for each row y, `length` being A's columns. */
  public async apply(matrix: MatrixSource, vectors: Rows): Promise<Rows> {
    const { rows } = matrixSizes(matrix);
    return this.product(matrix, vectors, 'apply', rows);
  }

  /** Aᵀ·y for each row y, `length` being A's rows. */
  public async applyTransposed(matrix: MatrixSource, vectors: Rows): Promise<Rows> {
    const { columns } = matrixSizes(matrix);
    return this.product(matrix, vectors, 'applyTransposed', columns);
  }

  /** Inner products of all pairs of rows, [count, count] in float64. */
  public async gram(rows: Rows): Promise<SquareMatrix> {
    return { size: rows.count, numbers: await this.sums('rows', rows, rows) };
  }

  /** Σ xᵀ·x over all rows x, [length, length] in float64; only one triangle is computed. */
  public async crossProducts(rows: Rows): Promise<Float64Array> {
    const { length } = rows;
    const outputs = await this.run(
      this.exact,
      `crossProducts.${length}`,
      (graph) => {
        const inputs = graph.input('rows', DataType.FLOAT, ['count', length]);
        const sums = emitCrossProducts(graph, inputs, length);
        graph.output('sums', sums, DataType.DOUBLE, [length, length]);
      },
      { rows: rowsTensor(rows) },
    );
    return doubleOutput(outputs, 'sums');
  }

  /** Σ aᵀ·b over pairs of rows, [a.length, b.length] in float64. */
  public async crossBetween(a: Rows, b: Rows): Promise<Float64Array> {
    return this.sums('columns', a, b);
  }

  /** Σ aᵀ·b over pairs of rows, [a.length, b.length], in float32. */
  public async float32CrossBetween(a: Rows, b: Rows): Promise<Float32Array> {
    const outputs = await this.run(
      this.large,
      'float32CrossBetween',
      (graph) => {
        const left = graph.input('a', DataType.FLOAT, ['count', 'left']);
        const right = graph.input('b', DataType.FLOAT, ['count', 'right']);
        const sums = graph.op('Gemm', [left, right], { transA: 1 });
        graph.output('sums', sums, DataType.FLOAT, ['left', 'right']);
      },
      { a: rowsTensor(a), b: rowsTensor(b) },
    );
    return floatOutput(outputs, 'sums');
  }

  /** Inner products of the rows of `a` with those of `b`, [a.count, b.count] in float64. */
  public async inner(a: Rows, b: Rows): Promise<Float64Array> {
    return this.sums('rows', a, b);
  }

  /** y·G for each row y, with a symmetric G in float64. */
  public async weigh(rows: Rows, { size, numbers }: SquareMatrix): Promise<Rows> {
    const outputs = await this.run(
      this.exact,
      'weigh',
      (graph) => {
        const inputs = graph.input('rows', DataType.FLOAT, ['count', 'size']);
        const weights = graph.input('weights', DataType.DOUBLE, ['size', 'size']);
        const exact = graph.op('Cast', [inputs], { to: DataType.DOUBLE });
        const product = graph.op('Cast', [graph.op('MatMul', [exact, weights])], {
          to: DataType.FLOAT,
        });
        graph.output('weighed', product, DataType.FLOAT, ['count', 'size']);
      },
      {
        rows: rowsTensor(rows),
        weights: doubleTensor(numbers, [size, size]),
      },
    );
    return { ...rows, numbers: floatOutput(outputs, 'weighed') };
  }

  /**
   * Inner products of all rows of a matrix [count, size] with its first `width` rows, over the first
   * `length` columns: [count, width].
   */
  public async leadingInner(
    numbers: Float64Array,
    size: number,
    width: number,
    length: number,
  ): Promise<Float64Array> {
    const count = numbers.length / size;
    const outputs = await this.run(
      this.exact,
      'leadingInner',
      (graph) => {
        const matrix = graph.input('matrix', DataType.DOUBLE, ['count', 'size']);
        const [starts, columns] = [graph.ints([0]), graph.ints([1])];
        const inputs = ['length', 'width'].map((name) => graph.input(name, DataType.INT64, [1]));
        const [length = '', width = ''] = inputs;
        const known = graph.op('Slice', [matrix, starts, length, columns]);
        const first = graph.op('Slice', [known, starts, width, starts]);
        const product = graph.op('Gemm', [known, first], { transB: 1 });
        graph.output('inner', product, DataType.DOUBLE, ['count', 'width']);
      },
      {
        matrix: doubleTensor(numbers, [count, size]),
        length: int64Tensor([length], [1]),
        width: int64Tensor([width], [1]),
      },
    );
    return doubleOutput(outputs, 'inner');
  }

  /** A·Bᵀ with A [count, size] and B [other, size]. */
  public async multiplyTransposed(
    a: Float64Array,
    size: number,
    b: Float64Array,
  ): Promise<Float64Array> {
    const outputs = await this.run(
      this.exact,
      'multiplyTransposed',
      (graph) => {
        const left = graph.input('a', DataType.DOUBLE, ['count', 'size']);
        const right = graph.input('b', DataType.DOUBLE, ['other', 'size']);
        const product = graph.op('Gemm', [left, right], { transB: 1 });
        graph.output('product', product, DataType.DOUBLE, ['count', 'other']);
      },
      {
        a: doubleTensor(a, [a.length / size, size]),
        b: doubleTensor(b, [b.length / size, size]),
      },
    );
    return doubleOutput(outputs, 'product');
  }

  /** A·B with A [rows, size] and B [size, columns]. */
  public async multiply(a: Float64Array, size: number, b: Float64Array): Promise<Float64Array> {
    const outputs = await this.run(
      this.exact,
      'multiply',
      (graph) => {
        const left = graph.input('a', DataType.DOUBLE, ['rows', 'size']);
        const right = graph.input('b', DataType.DOUBLE, ['size', 'columns']);
        const product = graph.op('MatMul', [left, right]);
        graph.output('product', product, DataType.DOUBLE, ['rows', 'columns']);
      },
      {
        a: doubleTensor(a, [a.length / size, size]),
        b: doubleTensor(b, [size, b.length / size]),
      },
    );
    return doubleOutput(outputs, 'product');
  }

  /** Σ y·G·yᵀ over all rows y, in float32 except for the sum over rows. */
  public async weighedSquares(rows: Rows, gram: ScaledGram): Promise<number> {
    const { weighed = Number.NaN } = await this.squares(rows, undefined, gram);
    return weighed;
  }

  /**
   * Σ y² and, with a Gram matrix, Σ y·G·yᵀ over the rows y, or over the differences to the rows of `less`; float32
   * except for the sums over rows.
   */
  public async squares(
    { count, length, numbers }: Rows,
    less: Rows | undefined,
    gram: ScaledGram | undefined,
  ): Promise<{ plain: number; weighed: number | undefined }> {
    const perRun = Math.max(1, Math.floor(numbersPerRun / length));
    const [hasLess, isWeighed] = [less !== undefined, gram !== undefined];
    let [plain, weighed] = [0, 0];
    for (let start = 0; start < count; start += perRun) {
      const end = Math.min(count, start + perRun);
      const slice = (all: Float32Array): Tensor =>
        floatTensor(all.subarray(start * length, end * length), [end - start, length]);
      const outputs = await this.run(
        this.large,
        `squares.${length}.${hasLess}.${isWeighed}`,
        (graph) => {
          const input = (name: string): Value =>
            graph.input(name, DataType.FLOAT, ['count', length]);
          const rows = hasLess ? graph.op('Sub', [input('rows'), input('less')]) : input('rows');
          const output = (name: string, squares: Value): void => {
            graph.output(name, squares, DataType.FLOAT, ['count']);
          };
          output('plain', graph.op('ReduceSumSquare', [rows], { axes: [1], keepdims: 0 }));
          if (isWeighed) {
            const scales = graph.input('scales', DataType.FLOAT, [length]);
            const weights = graph.input('weights', DataType.FLOAT, [length, length]);
            const scaled = graph.op('Mul', [rows, scales]);
            output('weighed', emitQuadraticForms(graph, scaled, weights, length));
          }
        },
        {
          rows: slice(numbers),
          ...(less === undefined ? {} : { less: slice(less.numbers) }),
          ...(gram === undefined
            ? {}
            : {
                scales: floatTensor(gram.scales, [length]),
                weights: floatTensor(gram.weights, [length, length]),
              }),
        },
      );
      plain += sumElements(floatOutput(outputs, 'plain'));
      weighed += isWeighed ? sumElements(floatOutput(outputs, 'weighed')) : 0;
    }
    return { plain, weighed: isWeighed ? weighed : undefined };
  }

  /** Inner products, in float64, of the rows or columns of `a` with those of `b`. */
  private async sums(over: 'rows' | 'columns', a: Rows, b: Rows): Promise<Float64Array> {
    const isOne = a === b;
    const sizeName = (name: string): string => `${name}.${over}`;
    const outputs = await this.run(
      this.exact,
      `sums.${over}.${isOne ? 'one' : 'two'}`,
      (graph) => {
        const exact = (name: string): Value => {
          const shape = over === 'rows' ? [sizeName(name), 'shared'] : ['shared', sizeName(name)];
          return graph.op('Cast', [graph.input(name, DataType.FLOAT, shape)], {
            to: DataType.DOUBLE,
          });
        };
        const left = exact('a');
        const right = isOne ? left : exact('b');
        const transpose = over === 'rows' ? { transB: 1 } : { transA: 1 };
        const sums = graph.op('Gemm', [left, right], transpose);
        graph.output('sums', sums, DataType.DOUBLE, [sizeName('a'), sizeName(isOne ? 'a' : 'b')]);
      },
      { a: rowsTensor(a), ...(isOne ? {} : { b: rowsTensor(b) }) },
    );
    return doubleOutput(outputs, 'sums');
  }

  /** Reads the whole matrix, row by row. */
  public async read(matrix: MatrixSource): Promise<Rows> {
    if (matrix.kind === 'numbers') {
      return matrix.rows;
    }
    const { rows, columns } = matrixSizes(matrix);
    const isTurned = isTransposed(matrix);
    const asMeant = isTurned ? undefined : await floatsInFile(matrix.tensor);
    if (asMeant !== undefined) {
      return { count: rows, length: columns, numbers: asMeant };
    }
    const build = (): GraphBuilder => {
      const graph = new GraphBuilder('read');
      const weight = emitWeight(graph, matrix.tensor);
      const transpose = isTurned ? graph.op('Transpose', [weight], { perm: [1, 0] }) : weight;
      graph.output('matrix', transpose, DataType.FLOAT, [rows, columns]);
      return graph;
    };
    const outputs = await this.exact.once({ build }, async (session) => session.run({}));
    return { count: rows, length: columns, numbers: floatOutput(outputs, 'matrix') };
  }

  /** Linear combinations of `rows`: C·rows with C [count', count] in float64. */
  public async combine(combinations: Float64Array, rows: Rows): Promise<Rows> {
    const { count, length, numbers } = rows;
    const size = combinations.length / count;
    const outputs = await this.run(
      this.exact,
      'combine',
      (graph) => {
        const factors = graph.input('factors', DataType.DOUBLE, ['size', 'count']);
        const inputs = graph.input('rows', DataType.FLOAT, ['count', 'length']);
        const exact = graph.op('Cast', [inputs], { to: DataType.DOUBLE });
        const sums = graph.op('Cast', [graph.op('MatMul', [factors, exact])], {
          to: DataType.FLOAT,
        });
        graph.output('combined', sums, DataType.FLOAT, ['size', 'length']);
      },
      {
        factors: doubleTensor(combinations, [size, count]),
        rows: floatTensor(numbers, [count, length]),
      },
    );
    return { count: size, length, numbers: floatOutput(outputs, 'combined') };
  }

  /** Rows minus their projection on the orthonormal rows of a basis, in float32. */
  public async reject(rows: Rows, basis: Rows): Promise<Rows> {
    const outputs = await this.run(
      this.exact,
      'reject',
      (graph) => {
        const inputs = graph.input('rows', DataType.FLOAT, ['count', 'length']);
        const along = graph.input('basis', DataType.FLOAT, ['size', 'length']);
        const parts = graph.op('Gemm', [inputs, along], { transB: 1 });
        const rest = graph.op('Sub', [inputs, graph.op('MatMul', [parts, along])]);
        graph.output('rest', rest, DataType.FLOAT, ['count', 'length']);
      },
      { rows: rowsTensor(rows), basis: rowsTensor(basis) },
    );
    return { ...rows, numbers: floatOutput(outputs, 'rest') };
  }

  /** Sum of squares; summed in float32 within a row that comes from a file. @throws UserError if it isn't finite */
  public async squaredNorm(matrix: MatrixSource): Promise<number> {
    const isKnown = matrix.kind === 'numbers';
    const sum = isKnown ? sumOfSquares(matrix.rows.numbers) : await this.storedSquares(matrix);
    requireFinite(matrix, sum);
    return sum;
  }

  public async dispose(): Promise<void> {
    await this.large.dispose();
    await this.stored.dispose();
    await this.exact.dispose();
  }

  private async storedSquares(matrix: StoredMatrix): Promise<number> {
    const build = (): GraphBuilder => {
      const graph = new GraphBuilder('squares');
      const weight = emitWeight(graph, matrix.tensor);
      const perRow = graph.op('ReduceSumSquare', [weight], { axes: [1], keepdims: 0 });
      const exact = graph.op('Cast', [perRow], { to: DataType.DOUBLE });
      graph.output('sum', graph.op('ReduceSum', [exact], { keepdims: 0 }), DataType.DOUBLE, []);
      return graph;
    };
    const outputs = await this.exact.once({ build }, async (session) => session.run({}));
    return doubleOutput(outputs, 'sum')[0] ?? Number.NaN;
  }

  private async product(
    matrix: MatrixSource,
    { count, length, numbers }: Rows,
    way: 'apply' | 'applyTransposed',
    resultLength: number,
  ): Promise<Rows> {
    const outputs = await this.run(
      matrix.kind === 'stored' ? await this.stored.for(matrix) : this.large,
      `${way}.${matrixKey(matrix)}`,
      (graph) => {
        const vectors = graph.input('vectors', DataType.FLOAT, ['count', 'length']);
        const inputs = [vectors, emitMatrix(graph, matrix)];
        const isTurned = (way === 'apply') !== isTransposed(matrix);
        const product = graph.op('Gemm', inputs, { transB: isTurned ? 1 : 0 });
        graph.output('product', product, DataType.FLOAT, ['count', 'size']);
      },
      { vectors: floatTensor(numbers, [count, length]), ...matrixFeed(matrix) },
      matrixBytes(matrix),
    );
    return { count, length: resultLength, numbers: floatOutput(outputs, 'product') };
  }

  private async run(
    pool: SessionPool,
    key: string,
    emit: (graph: GraphBuilder) => void,
    feeds: Readonly<Record<string, Tensor>>,
    bytes = 0,
  ): Promise<Awaited<ReturnType<Parameters<Parameters<SessionPool['use']>[1]>[0]['run']>>> {
    const build = (): GraphBuilder => {
      const graph = new GraphBuilder(key);
      emit(graph);
      return graph;
    };
    return pool.use({ key, bytes, build }, async (session) => session.run(feeds));
  }
}

function sumElements(numbers: Float32Array): number {
  return numbers.reduce((sum, x) => sum + x, 0);
}

/** Sessions that embed one matrix of a file, in float32; the next matrix replaces them. */
export class OneMatrixPool {
  private readonly pool: SessionPool;
  private key = '';

  public constructor(...args: ConstructorParameters<typeof SessionPool>) {
    this.pool = new SessionPool(...args);
  }

  public async for(matrix: StoredMatrix): Promise<SessionPool> {
    const key = matrixKey(matrix);
    if (key !== this.key) {
      await this.pool.dispose();
      this.key = key;
    }
    return this.pool;
  }

  public async dispose(): Promise<void> {
    await this.pool.dispose();
  }
}

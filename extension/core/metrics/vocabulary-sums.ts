import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Elements per block, at least; smaller blocks are slower without a gain in accuracy. */
const minBlock = 1024;

/**
 * Sums over the vocabulary, the last of three axes: [batch, rows, 1]. Summed in blocks first: a plain float32 sum over
 * a whole vocabulary loses one or two digits, which would show in differences of such sums.
 */
export class VocabularySums {
  private readonly blocks: number;

  /** @param width size of the vocabulary */
  public constructor(
    public readonly graph: GraphBuilder,
    private readonly width: number,
  ) {
    this.blocks = largestDivisor(width, Math.max(1, Math.floor(width / minBlock)));
  }

  /** Σᵥ x */
  public sum(x: Value): Value {
    const blocks = this.shaped(x, [0, -1, this.blocks, this.width / this.blocks]);
    return this.lastAxis(this.graph.reduce('ReduceSum', blocks, [-1], 0));
  }

  /** Σᵥ x·y. One of the two may have batch 1. */
  public product(x: Value, y: Value): Value {
    const size = this.width / this.blocks;
    const rows = this.shaped(x, [0, -1, 1, size]);
    // ONNX Runtime fuses the transposition and the matmul into one dot product per block.
    const columns = this.graph.op('Transpose', [this.shaped(y, [0, -1, 1, size])], {
      perm: [0, 1, 3, 2],
    });
    const products = this.graph.op('MatMul', [rows, columns]);
    return this.lastAxis(this.shaped(products, [0, -1, this.blocks]));
  }

  /** maxᵥ x */
  public largest(x: Value): Value {
    return this.graph.reduce('ReduceMax', x, [-1], 1);
  }

  private lastAxis(x: Value): Value {
    return this.graph.reduce('ReduceSum', x, [-1], 1);
  }

  private shaped(x: Value, shape: readonly number[]): Value {
    return this.graph.op('Reshape', [x, this.graph.ints(shape)]);
  }
}

/** The largest divisor of `number` that is at most `limit`. */
function largestDivisor(number: number, limit: number): number {
  let divisor = limit;
  while (number % divisor !== 0) {
    divisor--;
  }
  return divisor;
}

/**
 * Ids that a distance is measured over: the whole vocabulary, a random sample, or the most probable ids, which give a
 * lower bound. See {@link createReadout}.
 */
export const vocabularies = ['whole', 'sampled', 'bounded'] as const;
export type Vocabulary = (typeof vocabularies)[number];

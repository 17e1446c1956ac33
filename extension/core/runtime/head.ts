import { stream, streamWidth } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../onnx/graph-builder';
import { outputsFor, readHeadRows } from './head-rows';
import type { HeadRows } from './head-rows';
import type { LayeredExecutor, Readout } from './layered-executor';
import { floatTensor, shapedAs, outputTensor } from './tensors';
import type { Tensor, Tensors } from './tensors';

/**
 * Ids whose logits represent the vocabulary, int64 [count], and the offsets added to their logits,
 * float32 [count].
 */
export interface HeadSample {
  readonly ids: Tensor;
  readonly logWeights: Tensor;
  /** The head's rows of the ids; gathered from the weights in each run when absent. */
  readonly rows?: HeadRows | undefined;
}

/**
 * Final norm and LM head as separate graphs, so that a single session holds the head's weights for
 * all uses of the logits.
 */
export class Head {
  private static readonly known = new WeakMap<LayeredExecutor, Head>();
  private readonly zeros: Tensor;
  /** Buffer for logits in main memory, lent until the next call. */
  private buffer = new Float32Array();
  /** Logits on the device; lent until the next call. */
  private lent: Tensor | undefined;

  private constructor(
    private readonly executor: LayeredExecutor,
    private readonly emitter: ModelEmitter,
  ) {
    const { hiddenSize } = emitter;
    this.zeros = floatTensor(new Float32Array(hiddenSize), [1, 1, hiddenSize]);
  }

  /** The one head of an executor, so that logits are written to one place whoever asks for them. */
  public static of(executor: LayeredExecutor, emitter: ModelEmitter): Head {
    const head = this.known.get(executor) ?? new Head(executor, emitter);
    this.known.set(executor, head);
    return head;
  }

  /** Final norm of streams [batch, rows, hidden]; on a device held by the caller. */
  public async normed(hidden: Tensor): Promise<Tensor> {
    const outputs = await this.executor.read(
      {
        key: 'final-norm',
        costs: { bytes: 0, stays: true },
        build: (graph, emitter) => {
          const shape = (width: number): Dimension[] => ['batch', 'rows', width];
          const input = graph.input(stream, DataType.FLOAT, shape(streamWidth(emitter)));
          const normed = emitter.emitFinalNorm(graph, input);
          graph.output('normed', normed, DataType.FLOAT, shape(emitter.hiddenSize));
        },
      },
      { [stream]: hidden },
    );
    return outputTensor(outputs, 'normed');
  }

  /**
   * Logits [batch, rows, vocabulary] of hidden states [batch, rows, hidden]. With normalized rows of another stream as
   * `reference` [1, rows, hidden] and a linear head, the difference from its logits. The array is reused by the next
   * call.
   */
  public async logits(hidden: Tensor, reference = this.zeros): Promise<Tensor> {
    const { vocabularySize } = this.emitter;
    return this.lend(
      hidden,
      vocabularySize,
      {
        key: 'head',
        costs: { ...this.executor.model.epilogue, stays: true },
        build: (graph, emitter) => {
          const logits = emitter.emitHead(graph, logitsChange(graph, emitter));
          // The operator that computes the logits writes them directly into the output.
          graph.handOver('logits', logits, DataType.FLOAT, ['all', vocabularySize]);
        },
      },
      { reference },
    );
  }

  /**
   * Like {@link Head.logits}, for some ids only [batch, rows, count]. Adds the log weights of the ids to logits, but
   * not to differences, so that a softmax over the sample estimates one over the vocabulary.
   */
  public async sampledLogits(
    hidden: Tensor,
    { ids, logWeights, rows }: HeadSample,
    reference?: Tensor,
  ): Promise<Tensor> {
    const count = ids.size;
    const added =
      reference === undefined ? logWeights : floatTensor(new Float32Array(count), [count]);
    return this.lend(
      hidden,
      count,
      {
        key: `head.sampled.${rows?.kind ?? 'stored'}`,
        costs: { bytes: 0, keepMemory: true, stays: true },
        build: (graph, emitter) => {
          const outputs = outputsFor(graph, rows?.kind);
          const weights = graph.input('weights', DataType.FLOAT, ['count']);
          const logits = emitter.emitHead(graph, logitsChange(graph, emitter), outputs);
          const shape = ['all', 'count'];
          graph.handOver('logits', graph.op('Add', [logits, weights]), DataType.FLOAT, shape);
        },
      },
      { reference: reference ?? this.zeros, ids, weights: added, ...rows?.feeds },
    );
  }

  /** The rows of its matrix for `ids`, ascending; see {@link readHeadRows}. */
  public async rowsOf(ids: Int32Array): Promise<HeadRows | undefined> {
    return readHeadRows(this.executor, ids);
  }

  /** Logits [batch, rows, width] of a readout, written directly to the next consumer's buffer. */
  private async lend(
    hidden: Tensor,
    width: number,
    readout: Readout,
    others: Tensors,
  ): Promise<Tensor> {
    const [batch = 1, rows = 1] = hidden.dims;
    const feeds = { [stream]: hidden, ...others };
    const { states } = this.executor;
    if (states.stay) {
      const outputs = await this.executor.read(readout, feeds);
      if (this.lent !== undefined) {
        states.letGo(this.lent);
      }
      this.lent = outputTensor(outputs, 'logits');
      return shapedAs(this.lent, [batch, rows, width]);
    }
    const size = batch * rows * width;
    if (this.buffer.length < size) {
      this.buffer = new Float32Array(size);
    }
    const numbers = this.buffer.subarray(0, size);
    await this.executor.read(readout, feeds, {
      logits: floatTensor(numbers, [batch * rows, width]),
    });
    return floatTensor(numbers, [batch, rows, width]);
  }
}

/** Normalized rows [batch · rows, hidden] of the streams, minus those of the reference. */
function logitsChange(graph: GraphBuilder, emitter: ModelEmitter): Value {
  const { hiddenSize } = emitter;
  const hidden = graph.input(stream, DataType.FLOAT, ['batch', 'rows', streamWidth(emitter)]);
  const other = graph.input('reference', DataType.FLOAT, [1, 'others', hiddenSize]);
  const change = graph.op('Sub', [emitter.emitFinalNorm(graph, hidden), other]);
  return graph.op('Reshape', [change, graph.ints([-1, hiddenSize])]);
}

import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { LayeredExecutor } from './layered-executor';
import { floatTensor, tensorOf } from './tensors';
import type { Tensor } from './tensors';

/**
 * Final norm and head as two graphs, so that only one session holds the head's weights whatever is
 * done with the logits.
 */
export class Head {
  private readonly zeros: Tensor;
  /** Where logits are written; lent until the next call. */
  private buffer = new Float32Array();

  public constructor(
    private readonly executor: LayeredExecutor,
    private readonly emitter: ModelEmitter,
  ) {
    const { hiddenSize } = emitter;
    this.zeros = floatTensor(new Float32Array(hiddenSize), [1, 1, hiddenSize]);
  }

  /** Final norm of streams [batch, rows, hidden]. */
  public async normed(hidden: Tensor): Promise<Tensor> {
    const outputs = await this.executor.read(
      {
        key: 'final-norm',
        costs: { bytes: 0 },
        build: (graph, emitter) => {
          const shape = ['batch', 'rows', emitter.hiddenSize];
          const input = graph.input(stream, DataType.FLOAT, shape);
          graph.output('normed', emitter.emitFinalNorm(graph, input), DataType.FLOAT, shape);
        },
      },
      { [stream]: hidden },
    );
    return tensorOf(outputs, 'normed');
  }

  /**
   * Logits [batch, rows, vocabulary] of streams [batch, rows, hidden], or, given the normed rows of
   * another stream [1, rows, hidden], the difference from its logits where the head is linear. The
   * numbers are overwritten by the next call.
   */
  public async logits(hidden: Tensor, reference = this.zeros): Promise<Tensor> {
    const { vocabularySize } = this.emitter;
    const [batch = 1, rows = 1] = hidden.dims;
    const size = batch * rows * vocabularySize;
    if (this.buffer.length < size) {
      this.buffer = new Float32Array(size);
    }
    const numbers = this.buffer.subarray(0, size);
    await this.executor.read(
      {
        key: 'head',
        costs: this.executor.model.epilogue,
        build: (graph, emitter) => {
          const { hiddenSize, vocabularySize } = emitter;
          const hidden = graph.input(stream, DataType.FLOAT, ['batch', 'rows', hiddenSize]);
          const other = graph.input('reference', DataType.FLOAT, [1, 'others', hiddenSize]);
          const difference = graph.op('Sub', [emitter.emitFinalNorm(graph, hidden), other]);
          const rows = graph.op('Reshape', [difference, graph.ints([-1, hiddenSize])]);
          const logits = emitter.emitHead(graph, rows);
          // What makes the logits writes them where they are wanted.
          graph.handOver('logits', logits, DataType.FLOAT, ['all', vocabularySize]);
        },
      },
      { [stream]: hidden, reference },
      { logits: floatTensor(numbers, [batch * rows, vocabularySize]) },
    );
    return floatTensor(numbers, [batch, rows, vocabularySize]);
  }
}

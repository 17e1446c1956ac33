import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { DeviceName } from '../../runtime/device';
import { DataType } from '../../onnx/graph-builder';
import type { LayeredModel } from '../../models/layered-model';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { OwnGraph } from '../../runtime/layered-executor';
import { stateBytesPerToken } from '../../runtime/memory-shares';
import { predictedRows, tokenLogits } from '../../runtime/token-sums';
import { floatOutput, floatTensor, int64Tensor, outputTensor } from '../../runtime/tensors';
import type { HiddenState, Tensors } from '../../runtime/tensors';
import { lossInputs } from '../../training/losses';
import { embedAll } from './walk';
import { say } from '../../message';

/** The teacher's predictions after each token of a text. */
interface TeacherText {
  readonly ids: Int32Array;
  /** Most probable ids, [sequence, count]. */
  readonly topIds: Int32Array;
  /** Probabilities of these ids, and of all others together, [sequence, count + 1]. */
  readonly probabilities: Float32Array;
}

/**
 * The teacher's predictions for texts, in memory: its most probable ids and their probabilities. The teacher runs once
 * and is released before training starts.
 */
export class TeacherTexts {
  private constructor(private readonly texts: readonly TeacherText[]) {}

  public static async read(
    teacher: LayeredModel,
    texts: readonly Int32Array[],
    topIds: number,
    where: { readonly device: DeviceName; readonly memoryBytes: number },
    context: JobContext,
  ): Promise<TeacherTexts> {
    const executor = new LayeredExecutor(teacher, where.device, where.memoryBytes / 2);
    const { sublayers } = teacher.summary;
    const pause = async (): Promise<void> => checkpoint(context.cancellation);
    const longest = Math.max(1, ...texts.map((ids) => ids.length));
    // The states before and after a sublayer are in memory together.
    const bytesPerText = 2 * longest * stateBytesPerToken(teacher);
    const together = Math.max(1, Math.floor(executor.shares.stateBytes / bytesPerText));
    const found: TeacherText[] = [];
    try {
      for (let first = 0; first < texts.length; first += together) {
        const group = texts.slice(first, first + together);
        let states = await embedAll(executor, group, pause);
        for (const index of sublayers.keys()) {
          context.progress({
            stage: say`Running the original`,
            done: first * sublayers.length + index * group.length,
            total: texts.length * sublayers.length,
            unit: 'steps',
            moreFollows: true,
          });
          states = await executor.through(teacher.sublayer(index), states, pause);
        }
        for (const [i, ids] of group.entries()) {
          const state = states[i];
          if (state !== undefined) {
            found.push({ ids, ...(await predictTopIds(executor, ids, state, topIds)) });
          }
          await pause();
        }
      }
    } finally {
      await executor.dispose();
    }
    return new TeacherTexts(found);
  }

  /** Batch of texts of one length with the teacher's predictions. */
  public batch(indexes: readonly number[]): Tensors {
    const texts = indexes.flatMap((index) => this.texts[index] ?? []);
    const length = texts[0]?.ids.length ?? 0;
    const shape = [texts.length, length];
    const size = texts.length * length;
    const ids = (of: (text: TeacherText) => Int32Array): Int32Array =>
      Int32Array.from(texts.flatMap((text) => [...of(text)]));
    const topIds = ids((text) => text.topIds);
    const probabilities = Float32Array.from(texts.flatMap((text) => [...text.probabilities]));
    const perToken = (numbers: ArrayLike<number>) => numbers.length / Math.max(1, size);
    return {
      ...textInputs(
        ids((text) => text.ids),
        length,
      ),
      [lossInputs.teacherIds]: int64Tensor(topIds, [...shape, perToken(topIds)]),
      [lossInputs.teacher]: floatTensor(probabilities, [...shape, perToken(probabilities)]),
    };
  }
}

/** Inputs of the graph of a whole language model for texts of one length, one after the other. */
export function textInputs(ids: Int32Array, length: number): Tensors {
  const shape = [ids.length / length, length];
  return {
    input_ids: int64Tensor(ids, shape),
    attention_mask: int64Tensor(new Int32Array(ids.length).fill(1), shape),
    position_ids: int64Tensor(
      ids.map((_, i) => i % length),
      shape,
    ),
  };
}

/**
 * Most probable ids after each token of a text, and the probability of all others, in chunks of tokens that fit in
 * memory.
 */
async function predictTopIds(
  executor: LayeredExecutor,
  ids: Int32Array,
  state: HiddenState,
  most: number,
): Promise<Omit<TeacherText, 'ids'>> {
  const vocabulary = executor.model.summary.vocabularySize ?? most;
  const count = Math.min(most, vocabulary);
  const topIds = new Int32Array(ids.length * count);
  const probabilities = new Float32Array(ids.length * (count + 1));
  const logits = await tokenLogits(executor, ids, state);
  for (const rows of predictedRows(ids, logits.perRun)) {
    const outputs = await executor.compute(topIdsGraph(count), {
      logits: await logits.of(rows),
    });
    const { data } = outputTensor(outputs, 'ids');
    topIds.set(Int32Array.from(data as BigInt64Array, Number), rows.start * count);
    const values = floatOutput(outputs, 'values');
    for (let row = rows.start; row < rows.end; row++) {
      const from = (row - rows.start) * count;
      const own = values.subarray(from, from + count);
      const sum = own.reduce((total, value) => total + value, 0);
      probabilities.set(own, row * (count + 1));
      // With all ids there are no others: the remainder is only rounding error.
      probabilities[row * (count + 1) + count] = count < vocabulary ? Math.max(0, 1 - sum) : 0;
    }
  }
  return { topIds, probabilities };
}

const topIdsGraph = (count: number): OwnGraph => ({
  key: `topIds.${count}`,
  keepMemory: true,
  build: (graph) => {
    const given = graph.input('logits', DataType.FLOAT, ['batch', 'rows', 'vocabulary']);
    const all = graph.op('Softmax', [given], { axis: -1 });
    const [values = '', ids = ''] = graph.ops('TopK', [all, graph.ints([count])], 2, { axis: -1 });
    graph.output('values', values, DataType.FLOAT);
    graph.output('ids', ids, DataType.INT64);
  },
});

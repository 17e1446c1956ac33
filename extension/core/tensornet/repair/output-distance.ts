import { relativeSquares } from '../../linear-algebra/squares';
import { metrics } from '../../metrics/metrics';
import type { LayeredModel } from '../../models/layered-model';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder } from '../../onnx/graph-builder';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { asRows, floatsIn, floatsOf, int64Tensor } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';

/** How far outputs are apart: nats per token where they are scores, else ‖ŷ − y‖² / ‖y‖². */
export type LossUnit = 'nats' | 'relative-squares';

export function lossUnitOf({ output }: LayeredModel): LossUnit {
  return output.givesScores ? 'nats' : 'relative-squares';
}

/**
 * KL(p‖q) in nats per token between the outputs of two models, each with a head of its own; of outputs
 * that are no scores, the mean over examples of ‖ŷ − y‖² / ‖y‖².
 */
export async function outputDistance(
  teacher: LayeredExecutor,
  student: LayeredExecutor,
  states: readonly { readonly teacher: HiddenState; readonly student: HiddenState }[],
  afterRun: () => Promise<void>,
): Promise<number> {
  const inNats = lossUnitOf(teacher.model) === 'nats';
  let [sum, tokens] = [0, 0];
  for (const pair of states) {
    const [original, candidate] = [
      await teacher.output(pair.teacher),
      await student.output(pair.student),
    ];
    if (inNats) {
      const rows = asRows(original);
      sum += await divergence(student, rows, asRows(candidate));
      tokens += rows.dims[1] ?? 0;
    } else {
      sum += relativeSquares(floatsIn(candidate), floatsIn(original));
      tokens++;
    }
    await afterRun();
  }
  return sum / Math.max(1, tokens);
}

async function divergence(
  executor: LayeredExecutor,
  original: Tensor,
  candidate: Tensor,
): Promise<number> {
  const [, rows = 1, width = 1] = original.dims;
  const graph = {
    key: `divergence.${width}`,
    bytes: 0,
    build: (builder: GraphBuilder) => {
      const port = (name: string): string =>
        builder.input(name, DataType.FLOAT, [1, 'rows', width]);
      const terms = metrics.kl.emitTerms(builder, {
        original: port('original'),
        candidate: port('candidate'),
        targets: builder.input('targets', DataType.INT64, [1, 'rows']),
      });
      builder.output('sum', builder.op('ReduceSum', [terms], { keepdims: 0 }), DataType.FLOAT, []);
    },
  };
  const targets = int64Tensor(new Int32Array(rows).fill(-1), [1, rows]);
  const outputs = await executor.compute(graph, { original, candidate, targets });
  const [sum = Number.NaN] = floatsOf(outputs, 'sum');
  return sum;
}

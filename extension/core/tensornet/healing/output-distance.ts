import { metrics } from '../../metrics/metrics';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder } from '../../onnx/graph-builder';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { asRows, floatsOf, int64Tensor } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';

/** KL(p‖q) in nats per token between the outputs of two models, each with a head of its own. */
export async function outputDistance(
  teacher: LayeredExecutor,
  student: LayeredExecutor,
  states: readonly { readonly teacher: HiddenState; readonly student: HiddenState }[],
  afterRun: () => Promise<void>,
): Promise<number> {
  let [sum, tokens] = [0, 0];
  for (const pair of states) {
    const dense = asRows(await teacher.output(pair.teacher));
    const candidate = asRows(await student.output(pair.student));
    sum += await divergence(student, dense, candidate);
    tokens += dense.dims[1] ?? 0;
    await afterRun();
  }
  return sum / Math.max(1, tokens);
}

async function divergence(
  executor: LayeredExecutor,
  dense: Tensor,
  candidate: Tensor,
): Promise<number> {
  const [, rows = 1, width = 1] = dense.dims;
  const graph = {
    key: `divergence.${width}`,
    bytes: 0,
    build: (builder: GraphBuilder) => {
      const port = (name: string): string =>
        builder.input(name, DataType.FLOAT, [1, 'rows', width]);
      const terms = metrics.kl.emitTerms(builder, {
        dense: port('dense'),
        candidate: port('candidate'),
        targets: builder.input('targets', DataType.INT64, [1, 'rows']),
      });
      builder.output('sum', builder.op('ReduceSum', [terms], { keepdims: 0 }), DataType.FLOAT, []);
    },
  };
  const targets = int64Tensor(new Int32Array(rows).fill(-1), [1, rows]);
  const outputs = await executor.compute(graph, { dense, candidate, targets });
  const [sum = Number.NaN] = floatsOf(outputs, 'sum');
  return sum;
}

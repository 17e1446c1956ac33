import { DataType } from '../onnx/graph-builder';
import type { ModelInput } from '../models/model-input';
import { emitWeight } from '../models/parts/weight';
import { UserError } from '../user-error';
import type { LayeredExecutor } from './layered-executor';
import { floatOutput, isFiniteState } from './tensors';
import { say } from '../message';

const damaged = say`The file is damaged or was saved by a training run that failed: download it again.`;

/**
 * Explains non-finite values for a sequence: runs the model again and names the first sublayer, and if possible the
 * weight, that produces NaN or infinity.
 */
export async function explainNonFinite(
  executor: LayeredExecutor,
  input: ModelInput,
  removed: ReadonlySet<number> = new Set(),
): Promise<UserError> {
  const { name, path, sublayers } = executor.model.summary;
  const fault = (what: string): UserError =>
    new UserError('sublayer-not-finite', say`${what} of ${name} gives NaN or infinity.`, {
      file: path,
      remedy: damaged,
    });
  let state = await executor.embed(input);
  if (!isFiniteState(state)) {
    return fault('The token embedding');
  }
  for (const [index, { id }] of sublayers.entries()) {
    [state = state] = await executor.pass(index, [state], removed);
    if (!removed.has(index) && !isFiniteState(state)) {
      return (await explainWeights(executor, index, id)) ?? fault(`Sublayer ${id}`);
    }
  }
  return fault('The final norm or head');
}

/** Looks for NaN and infinity in the weights of a sublayer. */
async function explainWeights(
  executor: LayeredExecutor,
  index: number,
  id: string,
): Promise<UserError | undefined> {
  const tensors = executor.model.sublayer(index).tensors;
  const outputs = await executor.compute(
    {
      key: `non-finite.${id}`,

      build: (graph) => {
        tensors.forEach((tensor, i) => {
          // 0 · w is 0 where w is finite and NaN elsewhere.
          const zeros = graph.op('Mul', [emitWeight(graph, tensor), graph.scalar(0)]);
          const sum = graph.op('ReduceSum', [zeros], { keepdims: 0 });
          graph.output(String(i), sum, DataType.FLOAT, []);
        });
      },
    },
    {},
  );
  const tensor = tensors.find((_, i) => !floatOutput(outputs, String(i)).every(Number.isFinite));
  return (
    tensor &&
    new UserError(
      'weight-not-finite',
      say`The weight contains NaN or infinity, so ${id} can't be computed.`,
      { file: tensor.file, field: tensor.name, remedy: damaged },
    )
  );
}

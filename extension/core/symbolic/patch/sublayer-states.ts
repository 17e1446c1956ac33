import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { Rows } from '../../linear-algebra/matrix-products';
import type { RegressionData } from '../../linear-algebra/ridge';
import { metrics } from '../../metrics/metrics';
import { createReadout } from '../../metrics/metric-readout';
import type { ModelInput } from '../../models/example';
import { stream } from '../../models/model-emitter';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { floatsIn, floatTensor } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';

/** Gives what is added to rows of the stream. */
export type Branch = (rows: Rows) => Promise<Rows>;

/** States around one sublayer. */
export interface SublayerStates {
  readonly before: readonly HiddenState[];
  readonly after: readonly HiddenState[];
}

/** Takes texts through a model up to behind sublayer `index`. */
export async function statesAround(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  context: JobContext,
): Promise<SublayerStates> {
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  let before: HiddenState[] = [];
  for (const input of inputs) {
    before.push(await executor.embed(input));
    await pause();
  }
  for (let i = 0; i < index; i++) {
    context.progress({
      stage: 'Running the model up to the sublayer',
      done: i,
      total: index + 1,
      unit: 'steps',
    });
    before = await executor.run(i, before, pause);
  }
  return { before, after: await executor.run(index, before, pause) };
}

/** The stream in front of a sublayer, and what the sublayer adds to it, token by token. */
export function regressionData({ before, after }: SublayerStates): RegressionData {
  const features = rowsOf(before);
  const next = rowsOf(after);
  const numbers = next.numbers.map((y, i) => y - (features.numbers[i] ?? 0));
  return { features, targets: { ...features, numbers } };
}

/** Tokens of all states, one after the other. */
function rowsOf(states: readonly HiddenState[]): Rows {
  const tensors = states.map(streamOf);
  const length = tensors[0]?.dims.at(-1) ?? 1;
  const size = tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  const numbers = new Float32Array(size);
  let at = 0;
  for (const tensor of tensors) {
    numbers.set(floatsIn(tensor), at);
    at += tensor.size;
  }
  return { count: size / length, length, numbers };
}

/**
 * KL(p‖q) of the model's and each branch's output where the branch stands in the place of sublayer
 * `index`, in nats per token over the texts of `states`.
 */
export async function divergences(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  { before, after }: SublayerStates,
  branches: readonly Branch[],
  context: JobContext,
): Promise<number[]> {
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  const count = executor.model.summary.sublayers.length;
  const candidates = [after];
  for (const branch of branches) {
    const skipped = await executor.skip(index, before, pause);
    const rows = rowsOf(before);
    candidates.push(withAdded(skipped, rows, await branch(rows)));
  }
  let states = candidates.flat();
  for (let i = index + 1; i < count; i++) {
    context.progress({
      stage: 'Measuring what the patches do to the output',
      done: i - index,
      total: count - index,
      unit: 'steps',
    });
    states = await executor.run(i, states, pause);
  }
  const readout = createReadout(executor, 'kl', metrics.kl);
  const sums = branches.map(() => 0);
  let tokens = 0;
  for (const [text, input] of inputs.entries()) {
    const dense = states[text] ?? lost();
    const others = branches.map((_, i) => states[(i + 1) * inputs.length + text] ?? lost());
    (await readout.terms(input, dense, others)).forEach((term, i) => {
      sums[i] = (sums[i] ?? 0) + term;
    });
    tokens += await readout.rows(input, dense);
    await pause();
  }
  return sums.map((sum) => sum / Math.max(1, tokens));
}

/** States with what a branch adds to each row of the stream. */
function withAdded(states: readonly HiddenState[], rows: Rows, added: Rows): HiddenState[] {
  let at = 0;
  return states.map(({ values, side }) => {
    const tensor = streamOf({ values, side });
    const end = at + tensor.size;
    const numbers = rows.numbers.slice(at, end);
    for (let i = 0; i < numbers.length; i++) {
      numbers[i] = (numbers[i] ?? 0) + (added.numbers[at + i] ?? 0);
    }
    at = end;
    return { values: { ...values, [stream]: floatTensor(numbers, tensor.dims) }, side };
  });
}

function streamOf({ values }: HiddenState): Tensor {
  return values[stream] ?? lost();
}

function lost(): never {
  throw new Error('the state has no residual stream');
}

import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { RegressionData } from '../../linear-algebra/ridge';
import { metrics } from '../../metrics/metrics';
import { createReadout } from '../../metrics/metric-readout';
import type { ModelInput } from '../../models/model-input';
import type { LayeredModel } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { floatsIn, floatTensorLike } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Maximum rank: [batch, sequence, features]; images have more axes. */
const longestShape = 3;

/** Computes the output added to rows of the residual stream. */
export type Branch = (rows: Rows) => Promise<Rows>;

/** States before and after a sublayer. */
export interface SublayerStates {
  readonly before: readonly HiddenState[];
  readonly after: readonly HiddenState[];
}

/** Runs texts through a model up to and including sublayer `index`. */
export async function statesAround(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  context: JobContext,
): Promise<SublayerStates> {
  const before = await statesBefore(executor, index, inputs, context);
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  return { before, after: await executor.run(index, before, pause) };
}

/** Runs texts through a model up to sublayer `index`. */
async function statesBefore(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  context: JobContext,
): Promise<HiddenState[]> {
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  let before: HiddenState[] = [];
  for (const input of inputs) {
    before.push(await executor.embed(input));
    await pause();
  }
  for (let i = 0; i < index; i++) {
    context.progress({
      stage: say`Running the model up to the sublayer`,
      done: i,
      total: index + 1,
      unit: 'steps',
      moreFollows: true,
    });
    before = await executor.run(i, before, pause);
  }
  return before;
}

/**
 * Inputs of a patch of sublayer `index`, and the sublayer's output, for each token of `inputs`.
 * @throws UserError if the residual stream doesn't consist of rows
 */
export async function regressionData(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  context: JobContext,
): Promise<RegressionData> {
  const { model } = executor;
  const stream = model.sublayer(index).streamNames;
  const before = await statesBefore(executor, index, inputs, context);
  const summed = await executor.through(model.sublayer(index).summed, before, async () =>
    checkpoint(context.cancellation),
  );
  const features = concatRows(before, model.sublayer(index).patchInput);
  const [own, next] = [concatRows(before, stream.before), concatRows(summed, stream.after)];
  if (own.length !== next.length || own.count !== next.count || own.length !== features.length) {
    throw new Error('a sublayer keeps the shape of the stream');
  }
  const numbers = next.numbers.map((y, i) => y - (own.numbers[i] ?? 0));
  return { features, targets: { ...next, numbers } };
}

/** Tokens of all states, concatenated. */
function concatRows(states: readonly HiddenState[], name: string): Rows {
  const tensors = states.map((state) => requireValue(state, name));
  const length = tensors[0]?.dims.at(-1) ?? 1;
  const other = tensors.find(({ dims }) => dims.at(-1) !== length || dims.length > longestShape);
  if (other !== undefined) {
    throw new UserError(
      'stream-not-rows',
      say`The residual stream has shape [${other.dims.join(', ')}], not rows of features.`,
      {
        field: name,
        remedy: say`Patch a model with hidden states of shape [batch, sequence, features].`,
      },
    );
  }
  const size = tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  const numbers = new Float32Array(size);
  let at = 0;
  for (const tensor of tensors) {
    numbers.set(floatsIn(tensor), at);
    at += tensor.size;
  }
  return { count: size / length, length, numbers };
}

/** Measure of the change of outputs: KL divergence in nats per token, or the norm of the difference for values. */
export type PatchLoss = 'kl' | 'norm';

/** Measure for the output of a model. */
export const patchLoss = ({ output }: Pick<LayeredModel, 'output'>): PatchLoss =>
  output.givesScores ? 'kl' : 'norm';

/**
 * Divergence of the model's output if each branch replaces sublayer `index`: KL(p‖q) in nats per token over the texts
 * of `states`; for outputs that are values ‖p − q‖, mean over texts.
 */
export async function divergences(
  executor: LayeredExecutor,
  index: number,
  inputs: readonly ModelInput[],
  { before, after }: SublayerStates,
  branches: readonly Branch[],
  context: JobContext,
): Promise<number[]> {
  const { model } = executor;
  const stream = model.sublayer(index).streamNames;
  const pause = async (): Promise<void> => checkpoint(context.cancellation);
  const count = executor.model.summary.sublayers.length;
  const candidates = [after];
  const leavesParts = model.summary.sublayers[index]?.leavesParts === true;
  const skipped = await executor.skip(index, before, pause);
  const inputRows = concatRows(before, model.sublayer(index).patchInput);
  const streamRows = concatRows(before, stream.before);
  for (const branch of branches) {
    const added = await branch(inputRows);
    candidates.push(
      leavesParts
        ? await executor.skip(index, withAdded(before, stream.before, streamRows, added), pause)
        : withAdded(skipped, stream.after, streamRows, added),
    );
  }
  let states = candidates.flat();
  for (let i = index + 1; i < count; i++) {
    context.progress({
      stage: say`Measuring the effect of the patches on the output`,
      done: i - index,
      total: count - index,
      unit: 'steps',
    });
    states = await executor.run(i, states, pause);
  }
  const loss = patchLoss(model);
  const readout = createReadout(executor, loss, metrics[loss]);
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
  return sums.map((sum) => sum / Math.max(1, loss === 'kl' ? tokens : inputs.length));
}

/** Adds a branch's output to each row of the residual stream, which is `name` after the sublayer. */
function withAdded(
  states: readonly HiddenState[],
  name: string,
  rows: Rows,
  added: Rows,
): HiddenState[] {
  let at = 0;
  return states.map(({ values, side }) => {
    const tensor = requireValue({ values, side }, name);
    const end = at + tensor.size;
    const numbers = rows.numbers.slice(at, end);
    for (let i = 0; i < numbers.length; i++) {
      numbers[i] = (numbers[i] ?? 0) + (added.numbers[at + i] ?? 0);
    }
    at = end;
    return { values: { ...values, [name]: floatTensorLike(tensor, numbers) }, side };
  });
}

function requireValue({ values, side }: HiddenState, name: string): Tensor {
  return values[name] ?? side[name] ?? lost();
}

function lost(): never {
  throw new Error('the state has no residual stream');
}

import { relativeSquares } from '../../linear-algebra/squares';
import { LogitsMeter } from '../../metrics/logits-meter';
import { metrics } from '../../metrics/metrics';
import type { LayeredModel } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { asRows, floatsIn, int64Tensor } from '../../runtime/tensors';
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
  const divergence = divergenceBy(student);
  const inNats = lossUnitOf(teacher.model) === 'nats';
  let [sum, tokens] = [0, 0];
  for (const pair of states) {
    const [original, candidate] = [
      await teacher.output(pair.teacher),
      await student.output(pair.student),
    ];
    if (inNats) {
      sum += await divergence(original, candidate);
      tokens += asRows(original).dims[1] ?? 0;
    } else {
      sum += relativeSquares(floatsIn(candidate), floatsIn(original));
      tokens++;
    }
    await afterRun();
  }
  return sum / Math.max(1, tokens);
}

/** Measures Σ KL(p‖q) over the rows of two models' scores, in nats, by sessions of `executor`. */
function divergenceBy(
  executor: LayeredExecutor,
): (original: Tensor, candidate: Tensor) => Promise<number> {
  const meter = new LogitsMeter(executor, 'kl', metrics.kl, 'candidate');
  return async (original, candidate) => {
    const rows = asRows(original);
    const targets = int64Tensor(new Int32Array(rows.dims[1] ?? 1).fill(-1), [1, rows.dims[1] ?? 1]);
    const terms = await meter.terms(await meter.originalOf(rows), asRows(candidate), targets);
    return terms.reduce((sum, term) => sum + term, 0);
  };
}

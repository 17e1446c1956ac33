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
  const meter = new LogitsMeter(student, 'kl', metrics.kl, 'candidate');
  const inNats = lossUnitOf(teacher.model) === 'nats';
  let [sum, tokens] = [0, 0];
  for (const pair of states) {
    const [original, candidate] = [
      await teacher.output(pair.teacher),
      await student.output(pair.student),
    ];
    if (inNats) {
      const rows = asRows(original);
      sum += await divergence(meter, rows, asRows(candidate));
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
  meter: LogitsMeter,
  original: Tensor,
  candidate: Tensor,
): Promise<number> {
  const [, rows = 1] = original.dims;
  const targets = int64Tensor(new Int32Array(rows).fill(-1), [1, rows]);
  const terms = await meter.terms(await meter.originalOf(original), candidate, targets);
  return terms.reduce((sum, term) => sum + term, 0);
}

import { relativeSquares } from '../../linear-algebra/small-matrix';
import { createReadout } from '../../metrics/metric-readout';
import { metrics } from '../../metrics/metrics';
import type { LayeredModel } from '../../models/layered-model';
import type { ModelInput } from '../../models/model-input';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { floatsIn } from '../../runtime/tensors';
import type { HiddenState } from '../../runtime/tensors';

/** Unit of the distance between outputs: nats per token for logits, otherwise ‖ŷ − y‖² / ‖y‖². */
export type LossUnit = 'nats' | 'relative-squares';

export function lossUnit({ output }: LayeredModel): LossUnit {
  return output.givesScores ? 'nats' : 'relative-squares';
}

/** Final states of both models for one input. */
export interface FinalStates {
  readonly input: ModelInput;
  readonly teacher: HiddenState;
  readonly student: HiddenState;
}

/**
 * KL(p‖q) in nats per token between the outputs of two models with their own heads, in chunks of rows that fit in
 * memory; for outputs that aren't logits, the mean over examples of ‖ŷ − y‖² / ‖y‖².
 */
export async function outputDistance(
  teacher: LayeredExecutor,
  student: LayeredExecutor,
  states: readonly FinalStates[],
  afterRun: () => Promise<void>,
): Promise<number> {
  const readout = createReadout(student, 'kl', metrics.kl, { original: teacher });
  const hasLogits = lossUnit(teacher.model) === 'nats';
  let [sum, count] = [0, 0];
  for (const pair of states) {
    if (hasLogits) {
      const [terms = new Float32Array()] = await readout.rowTerms(
        ...([pair.input, pair.teacher, [pair.student], undefined, afterRun] as const),
      );
      sum += terms.reduce((total, term) => total + term, 0);
      count += terms.length;
    } else {
      const original = await teacher.output(pair.teacher);
      const candidate = await student.output(pair.student);
      sum += relativeSquares(floatsIn(candidate), floatsIn(original));
      count++;
      await afterRun();
    }
  }
  return sum / Math.max(1, count);
}

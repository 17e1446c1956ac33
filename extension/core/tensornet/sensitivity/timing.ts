import { formFlops } from '../../models/forms/form-facts';
import type { MatrixEncoding, ModelMatrix, OuterMatrix } from '../../models/matrix-encoding';
import { chooseMpoRun, predictMilliseconds } from '../costs/machine-costs';
import type { MachineCosts } from '../costs/machine-costs';
import type { SensitivityEntry } from './sensitivity-profile';

/** What of a matrix decides which products a token takes. */
type TimedMatrix = Pick<ModelMatrix, 'overPositions'> &
  Partial<Pick<OuterMatrix, 'place' | 'tiedTo'>>;

/** What one token through a form of a matrix costs on this machine, an MPO as it is run faster. */
export type Timing = (
  matrix: TimedMatrix,
  form: MatrixEncoding<{ readonly shape: readonly number[] }>,
) => Pick<SensitivityEntry, 'flopsPerToken' | 'milliseconds' | 'mpoRun'>;

/**
 * By the costs of a machine: no time where nothing is known of them, nor of maps, which have as many rows as
 * an example has positions and not the one that a token is.
 */
export function timingOf(machine: MachineCosts | undefined): Timing {
  return ({ overPositions = false, place, tiedTo }, form) => {
    if (place === 'embedding' && tiedTo === undefined) {
      // A row is looked up.
      return { flopsPerToken: 0, milliseconds: 0 };
    }
    if (machine === undefined || overPositions) {
      return { flopsPerToken: formFlops(form), milliseconds: 0 };
    }
    if (form.kind !== 'mpo') {
      return {
        flopsPerToken: formFlops(form),
        milliseconds: predictMilliseconds(machine, form, 1),
      };
    }
    const { run, milliseconds } = chooseMpoRun(machine, form, 1);
    return {
      flopsPerToken: formFlops({ ...form, run }),
      milliseconds: milliseconds[run],
      mpoRun: run,
    };
  };
}

import { formFlops } from '../../models/forms/form-facts';
import type {
  LinearLayer,
  MatrixEncoding,
  ModelMatrix,
  OuterMatrix,
} from '../../models/matrix-encoding';
import { chooseMpoRun, predictMilliseconds } from '../costs/machine-costs';
import type { MachineCosts } from '../costs/machine-costs';
import type { SensitivityEntry, TokenTimes } from './sensitivity-profile';

/** What of a matrix decides which products a token takes. */
type TimedMatrix = Pick<ModelMatrix, 'overPositions'> &
  Partial<Pick<OuterMatrix, 'place' | 'tiedTo'>> &
  Pick<LinearLayer, 'expert'>;

/** Tokens of the prompt that the time of reading a token is told by. */
const promptTokens = 128;

/**
 * What one token through a form of a matrix costs on this machine, an MPO as one token is run faster; of an expert's
 * matrix by the share of the tokens that it sees: so many of a prompt's rows, and a single row so often.
 */
export type Timing = (
  matrix: TimedMatrix,
  form: MatrixEncoding<{ readonly shape: readonly number[] }>,
) => TokenTimes & Pick<SensitivityEntry, 'flopsPerToken' | 'mpoRun'>;

const untimed: TokenTimes = { decodeMsPerToken: 0, prefillMsPerToken: 0 };

/**
 * By the costs of a machine: no time where nothing is known of them, nor of maps, which have as many rows as
 * an example has positions and not the one that a token is.
 */
export function timingOf(machine: MachineCosts | undefined): Timing {
  return ({ overPositions = false, place, tiedTo, expert: { share } = { share: 1 } }, form) => {
    if (place === 'embedding' && tiedTo === undefined) {
      // A row is looked up.
      return { flopsPerToken: 0, ...untimed };
    }
    if (machine === undefined || overPositions) {
      return { flopsPerToken: share * formFlops(form), ...untimed };
    }
    const times = (run: typeof form): TokenTimes => ({
      decodeMsPerToken: share * predictMilliseconds(machine, run, 1),
      prefillMsPerToken: predictMilliseconds(machine, run, share * promptTokens) / promptTokens,
    });
    if (form.kind !== 'mpo') {
      return { flopsPerToken: share * formFlops(form), ...times(form) };
    }
    const { run } = chooseMpoRun(machine, form, 1);
    const faster = { ...form, run };
    return { flopsPerToken: share * formFlops(faster), ...times(faster), mpoRun: run };
  };
}

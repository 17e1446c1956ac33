import { encodingFlops } from '../../models/encodings/encoding-facts';
import type {
  LinearLayer,
  MatrixEncoding,
  ModelMatrix,
  EmbeddingOrHead,
} from '../../models/matrix-encoding';
import { chooseMpoRun, predictMilliseconds } from '../costs/machine-costs';
import type { MachineCosts } from '../costs/machine-costs';
import type { SensitivityEntry, TokenTimes } from './sensitivity-profile';

/** Properties of a matrix that determine the matmuls of a token. */
type TimedMatrix = Pick<ModelMatrix, 'overPositions'> &
  Partial<Pick<EmbeddingOrHead, 'place' | 'tiedTo'>> &
  Pick<LinearLayer, 'expert'>;

/** Prompt length for measuring the prefill time of a token. */
const promptTokens = 128;

/**
 * Cost of one token for an encoding of a matrix on this machine, with the faster execution of an MPO for decoding. An
 * expert's matrix counts by the share of tokens routed to it: that share of a prompt's rows, and of single rows.
 */
export type Timing = (
  matrix: TimedMatrix,
  form: MatrixEncoding<{ readonly shape: readonly number[] }>,
) => TokenTimes & Pick<SensitivityEntry, 'flopsPerToken' | 'mpoRun'>;

/** Cost of one token for several matrices. */
export function addTimes(times: readonly ReturnType<Timing>[]): ReturnType<Timing> {
  const [first, ...others] = times;
  return others.reduce<ReturnType<Timing>>(
    (sum, one) => ({
      ...sum,
      flopsPerToken: sum.flopsPerToken + one.flopsPerToken,
      decodeMsPerToken: sum.decodeMsPerToken + one.decodeMsPerToken,
      prefillMsPerToken: sum.prefillMsPerToken + one.prefillMsPerToken,
    }),
    first ?? { flopsPerToken: 0, ...untimed },
  );
}

const untimed: TokenTimes = { decodeMsPerToken: 0, prefillMsPerToken: 0 };

/**
 * Timing from the costs of a machine: 0 without costs, and for feature maps, which have one row per position instead of
 * per token.
 */
export function createTiming(machine: MachineCosts | undefined): Timing {
  return ({ overPositions = false, place, tiedTo, expert: { share } = { share: 1 } }, form) => {
    if (place === 'embedding' && tiedTo === undefined) {
      // An embedding lookup.
      return { flopsPerToken: 0, ...untimed };
    }
    if (machine === undefined || overPositions) {
      return { flopsPerToken: share * encodingFlops(form), ...untimed };
    }
    const times = (run: typeof form): TokenTimes => ({
      decodeMsPerToken: share * predictMilliseconds(machine, run, 1),
      prefillMsPerToken: predictMilliseconds(machine, run, share * promptTokens) / promptTokens,
    });
    if (form.kind !== 'mpo') {
      return { flopsPerToken: share * encodingFlops(form), ...times(form) };
    }
    const { run } = chooseMpoRun(machine, form, 1);
    const faster = { ...form, run };
    return { flopsPerToken: share * encodingFlops(faster), ...times(faster), mpoRun: run };
  };
}

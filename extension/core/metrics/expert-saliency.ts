import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { ModelInput } from '../models/model-input';
import { expertIds } from '../models/units';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { floatsIn } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { say } from '../message';

/** What an expert has done on calibration. */
export interface ExpertSaliency {
  /** Id, such as `block.3.expert.5`. */
  readonly expert: string;
  /** Mean over the tokens that were sent to it of gate × ‖expert(x)‖₂; 0 where there were none. */
  readonly saliency: number;
  /** Tokens that were sent to it. */
  readonly tokens: number;
}

/** Sums over the tokens of one expert. */
interface Tally {
  norms: number;
  tokens: number;
}

/**
 * REAP's criterion (Router-weighted Expert Activation Pruning, ICLR 2026) for every expert that can be removed by
 * itself, mixture by mixture, in one pass over the inputs.
 */
export async function expertSaliency(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<ExpertSaliency[][]> {
  const { model } = executor;
  const { sublayers } = model.summary;
  const afterRun = async (): Promise<void> => checkpoint(context.cancellation);
  let states: readonly HiddenState[] = await Promise.all(
    inputs.map(async (input) => executor.embed(input)),
  );
  const mixtures: ExpertSaliency[][] = [];
  for (const [index, sublayer] of sublayers.entries()) {
    const stage = say`Running experts`;
    context.progress({ stage, done: index, total: sublayers.length, unit: 'steps' });
    const step = sublayer.experts === undefined ? undefined : model.routed?.(index);
    if (step === undefined) {
      states = await executor.pass(index, states, new Set(), afterRun);
      continue;
    }
    const tallies = [...step.taps.keys()].map((): Tally => ({ norms: 0, tokens: 0 }));
    states = await executor.tap(
      step,
      states,
      (taps) => {
        [...taps.values()].forEach((rows, expert) => {
          addNorms(tallies[expert], floatsIn(rows), rows.dims.at(-1) ?? 1);
        });
        return Promise.resolve();
      },
      afterRun,
    );
    mixtures.push(
      expertIds(sublayer).map((expert, i) => {
        const { norms, tokens } = tallies[i] ?? { norms: 0, tokens: 0 };
        return { expert, saliency: norms / Math.max(1, tokens), tokens };
      }),
    );
  }
  return mixtures;
}

function addNorms(tally: Tally | undefined, rows: Float32Array, width: number): void {
  for (let start = 0; tally !== undefined && start < rows.length; start += width) {
    const squares = rows.subarray(start, start + width).reduce((sum, x) => sum + x * x, 0);
    tally.norms += Math.sqrt(squares);
    tally.tokens++;
  }
}

import * as v from 'valibot';
import type { JobContext } from '../jobs/job';
import { nothingSaved } from '../jobs/saved-parts';
import type { ModelInput } from '../models/model-input';
import { expertIds } from '../models/units';
import type { AfterRun, LayeredExecutor } from '../runtime/layered-executor';
import { savedWalk, walk } from '../runtime/states/walk';
import type { WalkedStep } from '../runtime/states/walk';
import { floatsIn } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { say } from '../message';

/** Importance of an expert on the calibration text. */
export interface ExpertSaliency {
  /** Id, such as `block.3.expert.5`. */
  readonly expert: string;
  /** Mean of gate × ‖expert(x)‖₂ over the tokens routed to the expert; 0 if there are none. */
  readonly saliency: number;
  /** Number of tokens routed to the expert. */
  readonly tokens: number;
  /** That number as a share of all tokens. */
  readonly frequency: number;
}

/** Sums over the tokens of one expert. */
interface Tally {
  norms: number;
  tokens: number;
}

export const saliencySchema = v.object({
  expert: v.string(),
  saliency: v.number(),
  tokens: v.number(),
  frequency: v.number(),
});

/**
 * Scores every removable expert with REAP's criterion (Router-weighted Expert Activation Pruning, ICLR 2026).
 * One pass over the inputs; results are ordered by MoE layer.
 */
export async function expertSaliency(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  context: Pick<JobContext, 'cancellation' | 'progress'>,
  saved = nothingSaved,
): Promise<ExpertSaliency[][]> {
  const found = await walk(
    executor,
    inputs,
    {
      stage: say`Running experts`,
      saved: savedWalk(saved, v.array(saliencySchema)),
      step: async (index, states, afterRun) => scoreStep(executor, index, states, afterRun),
    },
    context,
  );
  return found.filter(({ length }) => length > 0);
}

/** Runs a sublayer on the states; if it is an MoE layer, adds its experts' scores. */
async function scoreStep(
  executor: LayeredExecutor,
  index: number,
  states: readonly HiddenState[],
  afterRun: AfterRun,
): Promise<WalkedStep<ExpertSaliency[]>> {
  const { model } = executor;
  const sublayer = model.summary.sublayers[index];
  const routed = sublayer?.experts === undefined ? undefined : model.sublayer(index).routed;
  if (sublayer === undefined || routed === undefined) {
    return { states: await executor.pass(index, states, new Set(), afterRun), found: [] };
  }
  const tallies = routed.experts.map((): Tally => ({ norms: 0, tokens: 0 }));
  const behind = await executor.routed(
    routed,
    states,
    (expert, rows) => {
      addNorms(tallies[expert], floatsIn(rows), rows.dims.at(-1) ?? 1);
    },
    afterRun,
  );
  const sent = tallies.reduce((sum, { tokens }) => sum + tokens, 0);
  const all = Math.max(1, sent / (sublayer.experts?.perToken ?? 1));
  const found = expertIds(sublayer).map((expert, i) => {
    const { norms, tokens } = tallies[i] ?? { norms: 0, tokens: 0 };
    return { expert, saliency: norms / Math.max(1, tokens), tokens, frequency: tokens / all };
  });
  return { states: behind, found };
}

function addNorms(tally: Tally | undefined, rows: Float32Array, width: number): void {
  for (let start = 0; tally !== undefined && start < rows.length; start += width) {
    const squares = rows.subarray(start, start + width).reduce((sum, x) => sum + x * x, 0);
    tally.norms += Math.sqrt(squares);
    tally.tokens++;
  }
}

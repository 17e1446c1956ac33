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
  /** `tokens` as a fraction of all tokens. */
  readonly frequency: number;
  /** The same for each of several texts, in their order; absent for one text. */
  readonly texts?: readonly TextSaliency[] | undefined;
}

/** Importance of an expert on one of several texts. */
type TextSaliency = Pick<ExpertSaliency, 'saliency' | 'tokens' | 'frequency'>;

/** Sums over the tokens of one expert. */
interface Tally {
  norms: number;
  tokens: number;
}

const measured = { saliency: v.number(), tokens: v.number(), frequency: v.number() };

export const saliencySchema = v.object({
  expert: v.string(),
  ...measured,
  texts: v.optional(v.pipe(v.array(v.object(measured)), v.readonly())),
});

/**
 * Scores every removable expert with REAP's criterion (Router-weighted Expert Activation Pruning, ICLR 2026).
 * One pass over the inputs; results are ordered by MoE layer.
 * @param texts number of texts that inputs alternate between
 */
export async function expertSaliency(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  context: Pick<JobContext, 'cancellation' | 'progress'>,
  saved = nothingSaved,
  texts = 1,
): Promise<ExpertSaliency[][]> {
  const found = await walk(
    executor,
    inputs,
    {
      stage: say`Running experts`,
      saved: savedWalk(saved, v.array(saliencySchema)),
      step: async (index, states, afterRun) => scoreStep(executor, index, states, afterRun, texts),
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
  texts: number,
): Promise<WalkedStep<ExpertSaliency[]>> {
  const { model } = executor;
  const sublayer = model.summary.sublayers[index];
  const routed = sublayer?.experts === undefined ? undefined : model.sublayer(index).routed;
  if (sublayer === undefined || routed === undefined) {
    return { states: await executor.pass(index, states, new Set(), afterRun), found: [] };
  }
  const tallies = routed.experts.map(() =>
    Array.from({ length: texts }, (): Tally => ({ norms: 0, tokens: 0 })),
  );
  const behind = await executor.routed(
    routed,
    states,
    (expert, rows, stateOf) => {
      addNorms(
        floatsIn(rows),
        rows.dims.at(-1) ?? 1,
        (row) => tallies[expert]?.[stateOf(row) % texts],
      );
    },
    afterRun,
  );
  const { perToken } = sublayer.experts ?? { perToken: 1 };
  const textTallies = Array.from({ length: texts }, (_, text) =>
    tallies.map((own) => own[text] ?? { norms: 0, tokens: 0 }),
  );
  const whole = summarize(tallies.map(sumTallies), perToken);
  const single = texts === 1 ? [] : textTallies.map((own) => summarize(own, perToken));
  const found = expertIds(sublayer).map((expert, i) => ({
    expert,
    ...(whole[i] ?? unreached),
    ...(texts === 1 ? {} : { texts: single.map((one) => one[i] ?? unreached) }),
  }));
  return { states: behind, found };
}

const unreached: TextSaliency = { saliency: 0, tokens: 0, frequency: 0 };

function sumTallies(tallies: readonly Tally[]): Tally {
  return {
    norms: tallies.reduce((sum, { norms }) => sum + norms, 0),
    tokens: tallies.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}

/** Saliency and share of tokens of each expert of a layer. */
function summarize(tallies: readonly Tally[], perToken: number): TextSaliency[] {
  const all = Math.max(1, sumTallies(tallies).tokens / perToken);
  return tallies.map(({ norms, tokens }) => ({
    ...{ saliency: norms / Math.max(1, tokens), tokens },
    frequency: tokens / all,
  }));
}

function addNorms(
  rows: Float32Array,
  width: number,
  tallyOf: (row: number) => Tally | undefined,
): void {
  for (let start = 0; start < rows.length; start += width) {
    const tally = tallyOf(start / width);
    if (tally === undefined) {
      continue;
    }
    const squares = rows.subarray(start, start + width).reduce((sum, x) => sum + x * x, 0);
    tally.norms += Math.sqrt(squares);
    tally.tokens++;
  }
}

import { NaiveScorer } from '../naive-scorer';
import type { Scorer, ScorerSetup, ScorerUse } from '../scorer';
import { ScreeningScorer } from '../screening-copy';
import { TrajectoryScorer } from '../trajectory-scorer';

/** Creates a scorer, on several workers if the setup has any. */
export function newScorer(setup: ScorerSetup, use: ScorerUse): Scorer {
  const { share } = setup;
  if (share !== undefined) {
    return share(use);
  }
  if (use.screens === true && setup.copy !== undefined) {
    return new ScreeningScorer(setup, use);
  }
  return use.naive === true ? new NaiveScorer(setup) : new TrajectoryScorer(setup, use.onFinal);
}

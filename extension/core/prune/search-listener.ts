import type { CandidateDistance, Round } from './layer-profile';
import type { BaselineName } from './options';
import type { Message } from '../message';

/** Called as results become known. Rounds count from 1. */
export interface SearchListener {
  onCosineLocal(distances: readonly CandidateDistance[]): void;
  onCandidate(round: number, distance: CandidateDistance): void;
  onRound(round: number, result: Round): void;
  /** What a surrogate expects from `round` on. */
  onPredicted(round: number, rounds: readonly Round[]): void;
  /** A refinement has measured so many sets, of `most` at most. */
  onRefining(measured: number, most: number): void;
  onBaseline(name: BaselineName, rounds: readonly Round[]): void;
  /** Before each round: its number, and how many are expected in all. */
  onStage(stage: Message): void;
}

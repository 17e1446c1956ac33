import type { CandidateDistance, Round } from './layer-profile';
import type { BaselineName } from './options';
import type { Message } from '../message';

/** Called as results become known. Rounds count from 1. */
export interface SearchListener {
  onCosineLocal(distances: readonly CandidateDistance[]): void;
  onCandidate(round: number, distance: CandidateDistance): void;
  onRound(round: number, result: Round): void;
  /** Called after `measured` of at most `most` sets of a refinement. */
  onRefining(measured: number, most: number): void;
  onBaseline(name: BaselineName, rounds: readonly Round[]): void;
  /** Called before each round with its description. */
  onStage(stage: Message): void;
}

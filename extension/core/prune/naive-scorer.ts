import { checkpoint } from '../jobs/job';
import type { ModelInput } from '../models/model-input';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import { sequenceInput } from './scorer';
import type {
  OriginalObserver,
  OriginalStates,
  Scorer,
  ScorerSetup,
  SublayerObserver,
} from './scorer';
import { createReadout } from '../metrics/metric-readout';
import type { MetricReadout } from '../metrics/row-readout';
import { sumTermsByBlock } from '../metrics/slices';
import type { BlockTerms, Slice } from '../metrics/slices';

/**
 * Reference scorer: runs the whole model on the whole sequence for every candidate and slice. Shares no state between
 * candidates; used to validate the faster scorers.
 */
export class NaiveScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly candidatesPerPass = 1;
  public readonly hasBounds = false;
  private readonly readout: MetricReadout;
  private readonly original = new Map<number, HiddenState>();

  public constructor(private readonly setup: ScorerSetup) {
    this.readout = createReadout(setup.executor, setup.metricName, setup.metric);
  }

  public async start(
    sequences: readonly number[],
    observer?: OriginalObserver,
  ): Promise<OriginalStates> {
    for (const sequence of sequences) {
      const input = sequenceInput(this.setup, sequence);
      this.original.set(sequence, await this.run(input, new Set(), observer?.observe));
    }
    return this.original;
  }

  public startFrom(original: OriginalStates): void {
    original.forEach((state, sequence) => this.original.set(sequence, state));
  }

  public async rows(sequence: number): Promise<number> {
    const original = this.original.get(sequence);
    return original === undefined
      ? 0
      : this.readout.rows(sequenceInput(this.setup, sequence), original);
  }

  public async terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
  ): Promise<BlockTerms[][]> {
    const { memo } = this.setup;
    const results: BlockTerms[][] = [];
    for (const candidate of candidates) {
      const skip = new Set([...this.removed, ...candidate.members]);
      const found: BlockTerms[] = [];
      for (const slice of slices) {
        const known = memo.get(step, candidate.id, 'whole', slice);
        const terms = known ?? (await this.measure(slice, skip));
        if (known === undefined) {
          await memo.add([
            { kind: 'term', step, candidate: candidate.id, vocabulary: 'whole', ...slice, terms },
          ]);
        }
        found.push(terms);
      }
      results.push(found);
    }
    return results;
  }

  public commit(candidate: Candidate): void {
    for (const member of candidate.members) {
      this.removed.add(member);
    }
  }

  public forget(): void {
    // There is no cache.
  }

  public end(): void {
    this.readout.end();
  }

  private async measure(slice: Slice, skip: ReadonlySet<number>): Promise<BlockTerms> {
    const input = sequenceInput(this.setup, slice.sequence);
    const final = await this.run(input, skip);
    const original = this.original.get(slice.sequence);
    const [terms = new Float32Array()] =
      original === undefined
        ? []
        : await this.readout.rowTerms(input, original, [final], slice, this.pause);
    this.setup.work.addReadouts(1, 'whole');
    return sumTermsByBlock(terms);
  }

  private readonly pause = async (): Promise<void> => {
    this.setup.onWork();
    await checkpoint(this.setup.cancellation);
  };

  private async run(
    input: ModelInput,
    skip: ReadonlySet<number>,
    observe?: SublayerObserver,
  ): Promise<HiddenState> {
    const { executor, work } = this.setup;
    let state = await executor.embed(input);
    for (const index of executor.model.summary.sublayers.keys()) {
      const [next = state] = await executor.pass(index, [state], skip, this.pause);
      if (!skip.has(index)) {
        work.addSublayers(1);
        await observe?.(index, state, next);
      }
      state = next;
    }
    return state;
  }
}

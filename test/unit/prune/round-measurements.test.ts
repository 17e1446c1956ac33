import { describe, expect, it } from 'vitest';
import type { BlockTerms, Slice } from '../../../extension/core/metrics/slices';
import { RoundMeasurements } from '../../../extension/core/prune/round-measurements';
import type { Candidate } from '../../../extension/core/prune/candidates';
import { makeInput, TableScorer } from './table-scorer';
import type { Table } from './table-scorer';

/** Sampled terms of a copy, sampled terms of the model, and terms of the model over the whole vocabulary. */
interface Tables {
  readonly copy: Table;
  readonly model: Table;
  readonly whole: Table;
}

/** Scorer of a copy, whose winners are read over the whole vocabulary on 32 rows. */
class CopyScorer extends TableScorer {
  public readonly wholeRows = 32;
  private readonly model: TableScorer;

  public constructor({ copy, model, whole }: Tables) {
    super(copy, { whole });
    this.model = new TableScorer(model);
  }

  public async modelTerms(
    step: string,
    candidate: Candidate,
    slices: readonly Slice[],
  ): Promise<BlockTerms[]> {
    const [terms = []] = await this.model.terms(step, [candidate], slices, 'sampled');
    return terms;
  }
}

const slices: readonly Slice[] = [
  { sequence: 0, from: 0, to: 32 },
  { sequence: 1, from: 0, to: 32 },
];

/** Confirms candidate `a`; returns its distance before and after. */
async function confirmed(
  tables: Tables,
): Promise<{ readonly isFinite: boolean; readonly ratio: number; readonly scorer: CopyScorer }> {
  const scorer = new CopyScorer(tables);
  const input = makeInput(scorer, tables.copy);
  const measurements = new RoundMeasurements({ ...input, estimates: true });
  const [candidate = { id: '', members: [], first: 0 }] = input.candidates;
  await measurements.measure([candidate], slices);
  const before = measurements.distance(candidate).distance ?? Number.NaN;
  const isFinite = await measurements.confirm(candidate, slices);
  const after = measurements.distance(candidate).distance ?? Number.NaN;
  return { isFinite, ratio: after / before, scorer };
}

describe('confirming a winner on the model of a copy', () => {
  it('multiplies the error of the copy on all rows by that of the sample on the first', async () => {
    const { isFinite, ratio, scorer } = await confirmed({
      copy: { a: [0.2, 0.4] },
      model: { a: [0.3, 0.45] },
      // The second sequence isn't read over the whole vocabulary.
      whole: { a: [0.33, 9] },
    });
    expect(isFinite).toBe(true);
    expect(ratio).toBeCloseTo((0.75 / 0.6) * (0.33 / 0.3), 6);
    const whole = scorer.asked.filter(({ vocabulary }) => vocabulary === 'whole');
    expect(whole.map(({ sequence }) => sequence)).toEqual([0]);
  });

  it.each([
    { model: [0.3, Number.NaN], whole: 0.3 },
    { model: [0.3, 0.4], whole: Number.NaN },
    { model: [0.3, 0.4], whole: Number.POSITIVE_INFINITY },
  ])('rejects one whose terms are not finite: $model, $whole', async ({ model, whole }) => {
    const { isFinite, ratio } = await confirmed({
      copy: { a: [0.2, 0.4] },
      model: { a: model },
      whole: { a: [whole, 0.4] },
    });
    expect(isFinite).toBe(false);
    expect(ratio).toBeNaN();
  });
});

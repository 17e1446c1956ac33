import { interRunSpearman, pairwiseSpearman, ranks } from '../data/rank-correlation';
import { normalQuantile } from '../statistics';
import { TermSample } from '../metrics/term-sample';
import type { LogRatio } from '../metrics/term-sample';
import type { Round, Stability } from './layer-profile';
import type { ScorerSetup } from './scorer';
import type { TermRecord } from './search-memo';
import { roundStep } from './search-plan';
import type { SearchPlan } from './search-plan';

/**
 * Minimum difference of ranks, relative to the number of candidates, for dependence on the text. It must also be
 * significant.
 */
const dependentShare = 0.25;
/** Probability that chance makes any sublayer seem dependent. */
const risk = 0.05;
/** Number of parts into which a single text is divided. */
const partsPerText = 3;

interface Group {
  readonly name: string;
  readonly sequences: readonly number[];
}

/**
 * Summarizes a search's measurements by text. Undefined if its first round measured candidates on fewer than two texts
 * or parts, as an adaptive search of one text does, or if outputs contain NaN or infinity.
 * @param step prefix of the rounds in the journal
 */
export function measureStability(
  plan: SearchPlan,
  rounds: readonly Round[],
  step: string,
): Stability | undefined {
  const { setup, rows, candidates } = plan;
  const groups = sequenceGroups(setup);
  const { memo } = setup;
  const first = commonSlices(memo.stepTerms(`${roundStep}.1`), candidates.length);
  const folds = groups.map((group) => new Fold(setup, rows, group, first));
  const distances = folds.map((fold) =>
    Float64Array.from(candidates, ({ id }) => fold.distance(id)),
  );
  const correlations = pairwiseSpearman(distances);
  const correlation = interRunSpearman(distances);
  const isMeasured = distances.every((own) => own.every(Number.isFinite));
  if (folds.some(({ tokens }) => tokens === 0) || correlation === undefined || !isMeasured) {
    return undefined;
  }
  const places = distances.map(ranks);
  // Two-sided, divided among all candidates (Bonferroni).
  const errors = normalQuantile(risk / 2 / candidates.length);
  return {
    texts: groups.map(({ name }, i) => ({ name, tokens: folds[i]?.tokens ?? 0 })),
    correlation,
    least: Math.min(...correlations),
    candidates: candidates.map(({ id }, i) => {
      const own = places.map((some) => some[i] ?? Number.NaN);
      const [best, worst] = [Math.min(...own), Math.max(...own)];
      const shares = [best, worst].map((place) => folds[own.indexOf(place)]?.share(id));
      return {
        sublayer: id,
        distances: distances.map((some) => some[i] ?? Number.NaN),
        places: [best, worst],
        dependsOnText:
          worst - best >= dependentShare * candidates.length &&
          differ(shares[0], shares[1], errors),
      };
    }),
    rounds: roundsByText(plan, rounds, step),
  };
}

/**
 * Distance after each round, by text. Rounds that were not measured on every text are omitted.
 * @param step prefix of the rounds in the journal
 */
export function roundsByText(
  { setup, rows }: SearchPlan,
  rounds: readonly Round[],
  step: string,
): Stability['rounds'] {
  const groups = sequenceGroups(setup);
  return rounds.flatMap(({ removed }, i) => {
    const records = setup.memo
      .stepTerms(`${step}.${i + 1}`)
      .filter(({ candidate }) => candidate === removed);
    const round = groups.map((group) => new Fold(setup, rows, group, commonSlices(records, 1)));
    return round.some(({ tokens }) => tokens === 0)
      ? []
      : [round.map((fold) => fold.distance(removed))];
  });
}

/** True if two shares of importance differ by more than sampling other parts of the same texts would explain. */
function differ(a: LogRatio | undefined, b: LogRatio | undefined, errors: number): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    Math.abs(a.value - b.value) > errors * Math.hypot(a.standardError, b.standardError)
  );
}

/** Sequences of each text. A single text is divided into parts. */
function sequenceGroups({ texts = [], sequences }: ScorerSetup): readonly Group[] {
  const all = [...sequences.keys()];
  if (texts.length > 1) {
    return texts.map((name, i) => ({
      name,
      sequences: all.filter((sequence) => sequence % texts.length === i),
    }));
  }
  const parts = Math.min(partsPerText, all.length);
  return Array.from({ length: parts }, (_, i) => ({
    name: `part ${i + 1} of ${parts}`,
    sequences: all.filter((sequence) => Math.floor((sequence * parts) / all.length) === i),
  }));
}

/** Records of all candidates on one slice. */
type SliceRecords = readonly TermRecord[];

/** Slices on which every candidate was measured, over the whole vocabulary if available for all. */
function commonSlices(records: readonly TermRecord[], candidates: number): SliceRecords[] {
  const bySlice = new Map<string, TermRecord[]>();
  for (const record of records) {
    const { sequence, from, to, vocabulary } = record;
    const key = `${sequence}|${from}|${to}|${vocabulary}`;
    const known = bySlice.get(key) ?? [];
    known.push(record);
    bySlice.set(key, known);
  }
  const common = [...bySlice.values()].filter(({ length }) => length === candidates);
  const whole = common.filter(([first]) => first?.vocabulary === 'whole');
  return whole.length > 0 ? whole : common;
}

/** Distances over the sequences of one text. */
class Fold {
  /** Number of tokens on which each candidate was measured. */
  public readonly tokens: number;
  private readonly samples = new Map<string, TermSample>();
  /** Sum over all candidates, slice by slice. */
  private readonly all: TermSample;

  public constructor(
    { metric }: ScorerSetup,
    rows: readonly number[],
    { sequences }: Group,
    slices: readonly SliceRecords[],
  ) {
    const own = slices.flatMap((records) => {
      const [slice] = records;
      return slice !== undefined && sequences.includes(slice.sequence) ? [{ slice, records }] : [];
    });
    const measured = [...new Set(own.map(({ slice }) => slice.sequence))];
    const counts = measured.map((sequence) => rows[sequence] ?? 0);
    this.all = new TermSample(metric, counts);
    for (const { slice, records } of own) {
      const place = { ...slice, sequence: measured.indexOf(slice.sequence) };
      for (const { candidate, terms } of records) {
        const sample = this.samples.get(candidate) ?? new TermSample(metric, counts);
        this.samples.set(candidate, sample);
        sample.add(place, terms);
      }
      const sums = slice.terms.map((_, block) =>
        records.reduce((sum, { terms }) => sum + (terms[block] ?? 0), 0),
      );
      this.all.add(place, sums);
    }
    const [first] = this.samples.values();
    this.tokens = first?.rows ?? 0;
  }

  /** Share of a candidate in the total change of all. */
  public share(candidate: string): LogRatio | undefined {
    return this.samples.get(candidate)?.logRatio(this.all);
  }

  public distance(candidate: string): number {
    return this.samples.get(candidate)?.distance().distance ?? Number.NaN;
  }
}

import { interRunSpearman, pairwiseSpearman, ranks } from '../data/rank-correlation';
import { TermSample } from '../metrics/term-sample';
import type { Round, Stability } from './layer-profile';
import type { ScorerSetup } from './scorer';
import type { TermRecord } from './search-memo';
import { roundStep } from './search-plan';
import type { SearchPlan } from './search-plan';

/** Places of a sublayer that differ by this share of all depend on the text. */
const dependentShare = 0.25;
/** Parts that one text is divided into. */
const partsOfText = 3;

interface Group {
  readonly name: string;
  readonly sequences: readonly number[];
}

/**
 * Folds what a search has measured by text. Undefined where its first round measured candidates on fewer
 * than two texts or parts, as an adaptive search of one text does.
 * @param step names the rounds in the journal
 */
export function stabilityOf(
  { setup, rows, candidates }: SearchPlan,
  rounds: readonly Round[],
  step: string,
): Stability | undefined {
  const groups = groupsOf(setup);
  const { memo } = setup;
  const first = commonRecords(memo.ofStep(`${roundStep}.1`), candidates.length);
  const folds = groups.map((group) => new Fold(setup, rows, group, first));
  const distances = folds.map((fold) =>
    Float64Array.from(candidates, ({ id }) => fold.distance(id)),
  );
  const correlations = pairwiseSpearman(distances);
  const correlation = interRunSpearman(distances);
  if (folds.some(({ tokens }) => tokens === 0) || correlation === undefined) {
    return undefined;
  }
  const places = distances.map(ranks);
  return {
    texts: groups.map(({ name }, i) => ({ name, tokens: folds[i]?.tokens ?? 0 })),
    correlation,
    least: Math.min(...correlations),
    candidates: candidates.map(({ id }, i) => {
      const own = places.map((some) => some[i] ?? Number.NaN);
      const [best, worst] = [Math.min(...own), Math.max(...own)];
      return {
        sublayer: id,
        distances: distances.map((some) => some[i] ?? Number.NaN),
        places: [best, worst],
        dependsOnText: worst - best >= dependentShare * candidates.length,
      };
    }),
    rounds: rounds.flatMap(({ removed }, i) => {
      const records = memo
        .ofStep(`${step}.${i + 1}`)
        .filter(({ candidate }) => candidate === removed);
      const round = groups.map((group) => new Fold(setup, rows, group, commonRecords(records, 1)));
      return round.some(({ tokens }) => tokens === 0)
        ? []
        : [round.map((fold) => fold.distance(removed))];
    }),
  };
}

/** Sequences of several texts take turns; one text has parts. */
function groupsOf({ texts = [], sequences }: ScorerSetup): readonly Group[] {
  const all = [...sequences.keys()];
  if (texts.length > 1) {
    return texts.map((name, i) => ({
      name,
      sequences: all.filter((sequence) => sequence % texts.length === i),
    }));
  }
  const parts = Math.min(partsOfText, all.length);
  return Array.from({ length: parts }, (_, i) => ({
    name: `part ${i + 1} of ${parts}`,
    sequences: all.filter((sequence) => Math.floor((sequence * parts) / all.length) === i),
  }));
}

/** Records of the slices that every candidate was measured on, over the whole vocabulary where all were. */
function commonRecords(records: readonly TermRecord[], candidates: number): readonly TermRecord[] {
  const bySlice = new Map<string, TermRecord[]>();
  for (const record of records) {
    const { sequence, from, to, vocabulary } = record;
    const key = `${sequence}|${from}|${to}|${vocabulary}`;
    bySlice.set(key, [...(bySlice.get(key) ?? []), record]);
  }
  const common = [...bySlice.values()].filter(({ length }) => length === candidates).flat();
  const whole = common.filter(({ vocabulary }) => vocabulary === 'whole');
  return whole.length > 0 ? whole : common;
}

/** Distances over the sequences of one text alone. */
class Fold {
  /** Tokens that each candidate was measured on. */
  public readonly tokens: number;
  private readonly samples = new Map<string, TermSample>();

  public constructor(
    { metric }: ScorerSetup,
    rows: readonly number[],
    { sequences }: Group,
    records: readonly TermRecord[],
  ) {
    const own = records.filter(({ sequence }) => sequences.includes(sequence));
    const measured = [...new Set(own.map(({ sequence }) => sequence))];
    const counts = measured.map((sequence) => rows[sequence] ?? 0);
    for (const record of own) {
      const sample = this.samples.get(record.candidate) ?? new TermSample(metric, counts);
      this.samples.set(record.candidate, sample);
      sample.add({ ...record, sequence: measured.indexOf(record.sequence) }, record.terms);
    }
    const [first] = this.samples.values();
    this.tokens = first?.rows ?? 0;
  }

  public distance(candidate: string): number {
    return this.samples.get(candidate)?.distance().distance ?? Number.NaN;
  }
}

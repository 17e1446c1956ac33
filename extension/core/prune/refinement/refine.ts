import { seededRandom, shuffle } from '../../data/random';
import type { Random } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import { splitIntoSlices } from '../../metrics/slices';
import { TermSample } from '../../metrics/term-sample';
import type { Candidate } from '../candidates';
import { followOrder } from '../fixed-order';
import type { Refinement, Round } from '../layer-profile';
import { least, leastFirst } from '../least';
import type { RefineSettings } from '../options';
import type { OriginalStates, Scorer } from '../scorer';
import type { SearchListener } from '../search-progress';
import type { SearchPlan } from '../search-plan';
import { newScorer } from '../shards/new-scorer';

/** Prefix of the steps of a refined order. */
export const refinedStep = 'refined';
/** Step in which sets are raced. */
const raceStep = 'refine';
/** Number of sets in a race, in the semifinal with more tokens, and in the final with all. */
const [children, semifinalists, finalists] = [16, 4, 2];
/** Share of the tokens measured in the semifinal. */
const semifinalShare = 0.25;
/** Maximum number of exchanges for a child of the evolutionary search. */
const maxExchanges = 3;

/** Candidates that are removed together, in model order. */
type RemovalSet = readonly Candidate[];

/**
 * Exchanges removals of a finished search while the distance with all removals decreases. `swaps` tries every single
 * exchange until none helps; `evolve` tries random ones of up to three at a time. Sets are raced as in EvoPress (arXiv
 * 2410.14649): all on a few tokens, the best on more, and the last few on all.
 */
export async function refine(
  plan: SearchPlan,
  settings: RefineSettings,
  original: OriginalStates,
  start: readonly Round[],
  listener: SearchListener,
): Promise<Refinement & { readonly rounds: readonly Round[] }> {
  const race = new SetRace(plan, original);
  const random = seededRandom(plan.settings.seed);
  const byId = new Map(plan.candidates.map((candidate) => [candidate.id, candidate]));
  const first = start.flatMap(({ removed }) => byId.get(removed) ?? []);
  const from = await race.total(first);
  const seen = new Set([setKey(first)]);
  let best: RemovalSet = first;
  let [lowest, measured] = [from, 0];
  let proposals = propose(plan, settings.method, best, random);
  while (measured < settings.sets) {
    listener.onRefining(measured, settings.sets);
    const count = Math.min(children, settings.sets - measured);
    const patience = settings.method === 'swaps' ? Number.POSITIVE_INFINITY : maxFruitless;
    const sets = await takeNew(plan, proposals, seen, count, patience);
    if (sets.length === 0) {
      break;
    }
    measured += sets.length;
    const winner = await race.best(sets);
    if (winner.total < lowest) {
      [best, lowest] = [winner.set, winner.total];
      proposals = propose(plan, settings.method, best, random);
    }
  }
  race.end();
  const refined = {
    method: settings.method,
    sets: measured,
    from: race.distance(from),
    start,
  };
  const rounds = lowest < from ? await orderSet(plan, first, best, original, listener) : start;
  // Constraints by `exclude` or a format may make a set unreachable by single removals.
  const isReached = rounds.length === best.length;
  return isReached && lowest < from
    ? { ...refined, to: race.distance(lowest), exchanged: exchangedIn(first, best), rounds }
    : { ...refined, to: race.distance(from), exchanged: 0, rounds: start };
}

/** Orders a set: first the remaining candidates of the original order, then new ones. */
async function orderSet(
  plan: SearchPlan,
  first: RemovalSet,
  best: RemovalSet,
  original: OriginalStates,
  listener: SearchListener,
): Promise<readonly Round[]> {
  const retained = first.filter((candidate) => best.includes(candidate));
  const order = [...retained, ...best.filter((candidate) => !first.includes(candidate))];
  const scorer = newScorer(plan.setup, { line: refinedStep });
  scorer.startFrom(original);
  const { rows } = plan;
  const tell: SearchListener['onRound'] = (round, result) => {
    listener.onRound(round, result);
  };
  const rounds = await followOrder(plan, order, refinedStep, scorer, rows, order.length, tell);
  scorer.end();
  return rounds;
}

/** Sets that may be better than `parent`. Random proposals are endless. */
function* propose(
  plan: SearchPlan,
  method: RefineSettings['method'],
  parent: RemovalSet,
  random: Random,
): Generator<RemovalSet> {
  const others = plan.candidates.filter((candidate) => !parent.includes(candidate));
  if (method === 'swaps') {
    const pairs = parent.flatMap((gone) => others.map((other) => [gone, other] as const));
    for (const [gone, other] of shuffle(pairs, random)) {
      yield exchanged(parent, [gone], [other]);
    }
    return;
  }
  const most = Math.min(maxExchanges, parent.length, others.length);
  while (most > 0) {
    // The minimum of two draws, as in EvoPress, so that most children are similar to the parent.
    const draw = (): number => 1 + Math.floor(random() * most);
    const count = Math.min(draw(), draw());
    yield exchanged(
      parent,
      shuffle(parent, random).slice(0, count),
      shuffle(others, random).slice(0, count),
    );
  }
}

function exchanged(parent: RemovalSet, gone: RemovalSet, others: RemovalSet): RemovalSet {
  return [...parent.filter((candidate) => !gone.includes(candidate)), ...others];
}

/** Number of consecutive random proposals without a new set after which the search space counts as exhausted. */
const maxFruitless = 500;

/**
 * Returns the next proposals that are allowed and new.
 * @param patience maximum number of consecutive proposals that are neither
 */
async function takeNew(
  plan: SearchPlan,
  proposals: Generator<RemovalSet>,
  seen: Set<string>,
  count: number,
  patience: number,
): Promise<RemovalSet[]> {
  const { onWork, cancellation } = plan.setup;
  const sets: RemovalSet[] = [];
  for (let fruitless = 0; sets.length < count && fruitless < patience; fruitless++) {
    const next = proposals.next();
    if (next.done === true) {
      break;
    }
    const set = next.value;
    if (!seen.has(setKey(set))) {
      seen.add(setKey(set));
      // A format may allow almost none, and its check is slow.
      onWork();
      await checkpoint(cancellation);
      if (await plan.mayGoTogether(set)) {
        sets.push(set);
        fruitless = -1;
      }
    }
  }
  return sets;
}

function exchangedIn(first: RemovalSet, best: RemovalSet): number {
  return best.filter((candidate) => !first.includes(candidate)).length;
}

function setKey(set: RemovalSet): string {
  return set
    .map(({ id }) => id)
    .sort()
    .join(' ');
}

/** Measures sets of removals, each as one candidate. */
class SetRace {
  private readonly scorer: Scorer;
  private readonly slices: ReturnType<typeof splitIntoSlices>;

  public constructor(
    private readonly plan: SearchPlan,
    original: OriginalStates,
  ) {
    this.scorer = newScorer(plan.setup, { line: raceStep });
    this.scorer.startFrom(original);
    this.slices = splitIntoSlices(plan.rows, plan.hasPrefixes, plan.texts);
  }

  /** Total over all tokens. */
  public async total(set: RemovalSet): Promise<number> {
    const [sample] = await this.measure([set], this.slices.length, 'whole');
    return sample?.total ?? Number.NaN;
  }

  public distance(total: number): number {
    return new TermSample(this.plan.setup.metric, this.plan.rows).toDistance(total);
  }

  /** Frees the scorer. */
  public end(): void {
    this.scorer.end();
  }

  /** Best of several sets by its total over all tokens. */
  public async best(
    sets: readonly RemovalSet[],
  ): Promise<{ readonly set: RemovalSet; readonly total: number }> {
    const all = this.plan.rows.reduce((sum, rows) => sum + rows, 0);
    let rows = 0;
    const quarter =
      1 + this.slices.findIndex(({ from, to }) => (rows += to - from) >= all * semifinalShare);
    let left = sets;
    for (const [slices, stay] of [
      [this.plan.texts, semifinalists],
      [Math.max(quarter, this.plan.texts), finalists],
    ] as const) {
      if (left.length > stay) {
        const samples = await this.measure(left, slices, 'sampled');
        const totals = new Map(left.map((set, i) => [set, samples[i]?.estimate().total]));
        left = leastFirst(left, (set) => totals.get(set) ?? Number.NaN).slice(0, stay);
      }
    }
    const samples = await this.measure(left, this.slices.length, 'whole');
    const measured = left.map((set, i) => ({ set, total: samples[i]?.total ?? Number.NaN }));
    this.scorer.forget();
    return least(measured, ({ total }) => total) ?? { set: [], total: Number.NaN };
  }

  /** @param count number of slices, from the first */
  private async measure(
    sets: readonly RemovalSet[],
    count: number,
    vocabulary: 'whole' | 'sampled',
  ): Promise<TermSample[]> {
    const slices = this.slices.slice(0, count);
    const samples: TermSample[] = [];
    const { candidatesPerPass } = this.scorer;
    for (let start = 0; start < sets.length; start += candidatesPerPass) {
      const group = sets.slice(start, start + candidatesPerPass).map(asCandidate);
      const terms = await this.scorer.terms(raceStep, group, slices, vocabulary);
      for (const own of terms) {
        const sample = new TermSample(this.plan.setup.metric, this.plan.rows);
        slices.forEach((slice, i) => {
          sample.add(slice, own[i] ?? []);
        });
        samples.push(sample);
      }
    }
    return samples;
  }
}

function asCandidate(set: RemovalSet): Candidate {
  return {
    id: setKey(set),
    members: set.flatMap(({ members }) => members),
    first: Math.min(...set.map(({ first }) => first)),
  };
}

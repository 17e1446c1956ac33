import type { JobContext } from '../../jobs/job';
import { stepKey } from '../../training/dropout';
import { compress } from '../compression/compress';
import type { Compression } from '../compression/compress';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { graphToJson } from '../random-graph';
import { initialLibrary } from '../language/library';
import type { Library } from '../language/library';
import { libraryDocument } from '../language/library-file';
import { createMass } from '../language/reduce';
import { printTerm } from '../language/term';
import { fits } from '../../models/patch/graph-slots';
import { networkSizes } from '../module/network';
import type { NetworkMetrics } from '../module/train-network';
import { explore } from '../search/explore';
import type { PopulationMember } from '../search/refit';
import { refit } from '../search/refit';
import { UserError } from '../../user-error';
import type {
  EvolutionSettings,
  GssnnDocument,
  IterationRecord,
  ModelRecord,
} from './gssnn-document';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Request to train a network. */
export interface TrainingOrder {
  readonly graph: SymbolicGraph;
  /** Seed of its parameters, dropout and order of examples. */
  readonly seed: number;
  /** Index in the evolution, from 0. */
  readonly number: number;
  readonly record: Omit<ModelRecord, 'metrics' | 'kept'>;
  /** Stage shown in the progress bar. */
  readonly stage: Message;
  readonly total: number;
}

/** Event of a running evolution. */
export type EvolutionEvent =
  | { readonly kind: 'lines'; readonly lines: GssnnDocument['lines'] }
  /** A trained baseline. */
  | { readonly kind: 'baseline'; readonly metrics: NetworkMetrics }
  | {
      readonly kind: 'model';
      readonly iteration: number;
      readonly model: Omit<ModelRecord, 'kept'>;
    }
  | { readonly kind: 'iteration'; readonly iteration: number; readonly record: IterationRecord };

export interface Evolution extends Pick<GssnnDocument, 'iterations' | 'best'> {
  /** Library after the last iteration, with all inventions. */
  readonly library: Library;
}

/**
 * Main loop of arXiv 2303.03340 (algorithm 1): search for graphs, train a new network with each, keep the programs
 * whose networks fit their training data best, learn inventions from them, refit the weights, and search again. The
 * settings determine the result.
 * @param train trains a network and returns its accuracies
 * @param ahead receives all networks of an iteration before the first is requested; they are independent
 * @throws UserError if the search finds no graph, CancelledError
 */
export async function evolve(
  settings: EvolutionSettings,
  train: (order: TrainingOrder) => Promise<NetworkMetrics>,
  job: JobContext<EvolutionEvent>,
  ahead: (orders: readonly TrainingOrder[]) => void = () => undefined,
): Promise<Evolution> {
  const { iterations, population: quota, keep, programLimit, legacyWeights } = settings;
  const records: IterationRecord[] = [];
  let library = initialLibrary();
  let preserved: readonly PopulationMember[] = [];
  let number = 0;
  for (let iteration = 1; iteration <= iterations; iteration++) {
    const found = await explore(library, { quota, programLimit, preserved }, job);
    const population = fitting(found.population, settings, job);
    const models: { member: PopulationMember; record: Omit<ModelRecord, 'kept'> }[] = [];
    const first = number;
    number += population.length;
    const orders = population.map((member, i): TrainingOrder => {
      const record = describe(member);
      return {
        ...{ graph: member.graph, record, number: first + i },
        seed: stepKey(settings.seed, first + i),
        stage: say`Training ${record.name}, iteration ${iteration} of ${iterations}`,
        total: population.length,
      };
    });
    ahead(orders);
    for (const [i, member] of population.entries()) {
      const order = orders[i];
      if (order !== undefined) {
        const model = { ...order.record, metrics: await train(order) };
        models.push({ member, record: model });
        job.emit({ kind: 'model', iteration, model });
      }
    }
    // The sort is stable: ties are won by the smaller mass, then by the earlier model.
    const kept = [...models]
      .sort(
        (a, b) => b.record.metrics.train - a.record.metrics.train || a.record.mass - b.record.mass,
      )
      .slice(0, keep)
      .map(({ member }) => member);
    const explored = library;
    const taught = await learn(library, kept, legacyWeights, job);
    ({ library, preserved } = taught);
    const record: IterationRecord = {
      exploration: {
        ...{ enumerated: found.enumerated, added: found.added, replaced: found.replaced },
        total: found.population.length,
      },
      library: libraryDocument(explored).entries,
      models: models.map(({ member, record: model }) => ({
        ...model,
        kept: kept.includes(member),
      })),
      ...summarize(models.map(({ record: model }) => model.metrics)),
      learned: taught.inventions.map(({ name, term, utility }) => ({
        name,
        term: printTerm(term),
        utility,
      })),
    };
    records.push(record);
    job.emit({ kind: 'iteration', iteration, record });
  }
  return { iterations: records, library, best: findBest(records) };
}

/** Members whose graph fits in the network; reports the others to the user. */
function fitting(
  population: readonly PopulationMember[],
  { mode, size }: EvolutionSettings,
  job: JobContext<EvolutionEvent>,
): PopulationMember[] {
  const { features } = networkSizes[size];
  const fit = population.filter(({ graph }) => fits(graph, mode, features));
  if (fit.length < population.length) {
    const left = population.length - fit.length;
    job.warn(
      say`Left out: ${counted(left, 'graph')} with more nodes and edges than fit in a width of ${features}.`,
    );
  }
  if (fit.length === 0) {
    throw new UserError('graph-not-found', say`The search found no graph.`, {
      field: 'programs',
      remedy: say`Try more programs: 1000 are enough for the first graph.`,
    });
  }
  return fit;
}

interface Lesson {
  readonly library: Library;
  /** The kept members, with programs rewritten with the inventions. */
  readonly preserved: readonly PopulationMember[];
  readonly inventions: Compression['inventions'];
}

/** Learns inventions from the kept programs, and refits the weights to them. */
async function learn(
  library: Library,
  kept: readonly PopulationMember[],
  legacyWeights: boolean,
  job: JobContext<EvolutionEvent>,
): Promise<Lesson> {
  const compressed = await compress(
    library,
    kept.map(({ program }) => program),
    {},
    job,
  );
  const programMass = createMass(compressed.library);
  const preserved = kept.map((member, i) => {
    const program = compressed.programs[i] ?? member.program;
    return { ...member, program, mass: programMass(program) };
  });
  return {
    library: refit(compressed.library, compressed.programs, { legacyWeights }),
    preserved,
    inventions: compressed.inventions,
  };
}

function describe({
  graph,
  program,
  mass,
}: PopulationMember): Omit<ModelRecord, 'metrics' | 'kept'> {
  return { name: graphName(graph), graph: graphToJson(graph), program: printTerm(program), mass };
}

/** Spread of the test accuracies, and their correlation with the training accuracies. */
function summarize(
  metrics: readonly NetworkMetrics[],
): Pick<IterationRecord, 'spread' | 'correlation'> {
  const tests = metrics.map(({ test }) => test);
  return {
    spread: describeSpread(tests),
    correlation: correlation(
      metrics.map(({ train }) => train),
      tests,
    ),
  };
}

/** Model with the best validation accuracy; ties are won by the smaller mass, then by the earlier model. */
function findBest(records: readonly IterationRecord[]): GssnnDocument['best'] {
  const all = records.flatMap(({ models }, iteration) =>
    models.map((model, i) => ({ iteration: iteration + 1, model: i + 1, ...model })),
  );
  return all.reduce((best, one) => (isBetter(one, best) ? one : best));
}

/** True if a model has a better validation accuracy than another, or the same with a smaller mass. */
export function isBetter(
  one: Omit<ModelRecord, 'kept'>,
  other: Omit<ModelRecord, 'kept'>,
): boolean {
  const difference = one.metrics.validation - other.metrics.validation;
  return difference > 0 || (difference === 0 && one.mass < other.mass);
}

/**
 * Display name of a graph: complete graphs, paths, cycles and stars by name, others by their nodes, edges and degrees.
 * Multiple edges between two nodes count once.
 */
export function graphName({ nodes, edges }: SymbolicGraph): string {
  const pairs = new Set(edges.map(({ ends: [a, b] }) => `${Math.min(a, b)} ${Math.max(a, b)}`));
  const degrees = nodes
    .map((node) => [...pairs].filter((pair) => pair.split(' ').includes(String(node))).length)
    .sort((a, b) => b - a);
  const [count, joined] = [nodes.length, pairs.size];
  const [most = 0] = degrees;
  if (joined === (count * (count - 1)) / 2) {
    return `K${count}`;
  }
  if (most <= 2) {
    return joined === count ? `C${count}` : `P${count}`;
  }
  return joined === count - 1 && most === count - 1
    ? `star ${count}`
    : `${count} nodes, ${joined} edges (${degrees.join(' ')})`;
}

/** Mean, deviation and range of values. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation (divisor n − 1); null for fewer than two values. */
  readonly deviation: number | null;
  readonly least: number;
  readonly most: number;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

export function describeSpread(values: readonly number[]): Spread {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return {
    mean: middle,
    deviation: values.length < 2 ? null : Math.sqrt(squares / (values.length - 1)),
    least: Math.min(...values),
    most: Math.max(...values),
  };
}

/** Pearson correlation; null if either side is constant. */
export function correlation(a: readonly number[], b: readonly number[]): number | null {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [covariance, varianceA, varianceB] = [0, 0, 0];
  a.forEach((value, i) => {
    const [da, db] = [value - meanA, (b[i] ?? meanB) - meanB];
    covariance += da * db;
    varianceA += da * da;
    varianceB += db * db;
  });
  return varianceA === 0 || varianceB === 0 ? null : covariance / Math.sqrt(varianceA * varianceB);
}

/**
 * Expected score of the candidate with the best validation among `count` drawn at random. Makes populations of
 * different sizes comparable. The first one wins ties.
 */
export function expectedBestScore(
  candidates: readonly { readonly validation: number; readonly score: number }[],
  count: number,
): number {
  const ordered = [...candidates].sort((a, b) => b.validation - a.validation);
  const drawn = Math.min(count, ordered.length);
  // The i-th is the best if it is drawn and none before it is: C(n − i − 1, k − 1) / C(n, k).
  let chance = drawn / Math.max(1, ordered.length);
  return ordered.reduce((sum, { score }, i) => {
    const term = sum + chance * score;
    const left = ordered.length - i - 1;
    chance *= left === 0 ? 0 : Math.max(0, left - drawn + 1) / left;
    return term;
  }, 0);
}

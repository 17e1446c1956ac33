import type { JobContext } from '../../jobs/job';
import { stepKey } from '../../training/dropout';
import { compress } from '../compression/compress';
import type { Compression } from '../compression/compress';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { graphToJson } from '../graph-json';
import { initialLibrary } from '../language/library';
import type { Library } from '../language/library';
import { libraryDocument } from '../language/library-file';
import { massesOf } from '../language/mass';
import { printTerm } from '../language/term';
import { fits } from '../../models/patch/graph-slots';
import { networkSizes } from '../module/network-sizes';
import type { NetworkMetrics } from '../module/train-network';
import { explore } from '../search/explore';
import type { PopulationMember } from '../search/population';
import { refit } from '../search/refit';
import { UserError } from '../../user-error';
import type {
  EvolutionSettings,
  GssnnDocument,
  IterationRecord,
  ModelRecord,
} from './gssnn-document';
import { correlation, spreadOf } from './spread';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** A network to be trained. */
export interface TrainingOrder {
  readonly graph: SymbolicGraph;
  /** What its parameters, dropout and order of examples are drawn from. */
  readonly seed: number;
  /** Its number in the evolution, from 0 on. */
  readonly number: number;
  readonly record: Omit<ModelRecord, 'metrics' | 'kept'>;
  /** What is going on, for a progress bar. */
  readonly stage: Message;
  readonly total: number;
}

/** What a watcher of an evolution learns while it runs. */
export type EvolutionEvent =
  | { readonly kind: 'lines'; readonly lines: GssnnDocument['lines'] }
  /** A baseline that was trained. */
  | { readonly kind: 'baseline'; readonly metrics: NetworkMetrics }
  | {
      readonly kind: 'model';
      readonly iteration: number;
      readonly model: Omit<ModelRecord, 'kept'>;
    }
  | { readonly kind: 'iteration'; readonly iteration: number; readonly record: IterationRecord };

export interface Evolution extends Pick<GssnnDocument, 'iterations' | 'best'> {
  /** What the last iteration has left; it has all inventions. */
  readonly library: Library;
}

/**
 * The outer loop of arXiv 2303.03340 (algorithm 1): search for graphs, train a fresh network of each, keep
 * the programs of those that fit their training data best, learn inventions from them, fit the weights, and
 * search again. All follows from the settings.
 * @param train trains a network and tells its accuracies
 * @param ahead hears of all networks of an iteration before the first is asked for: none needs another
 * @throws UserError when the search finds no graph, CancelledError
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
    // Sorting is stable: of equal ones the lighter, then the earlier stays.
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
  return { iterations: records, library, best: bestOf(records) };
}

/** Members whose graph has room in the network; of others the user is told. */
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
      say`Left out: ${counted(left, 'graph')} with more nodes and edges than a width of ${features} takes.`,
    );
  }
  if (fit.length === 0) {
    throw new UserError(say`The search found no graph.`, {
      field: 'programs',
      remedy: say`Let it try more programs: 1000 are enough for the first graph.`,
    });
  }
  return fit;
}

interface Lesson {
  readonly library: Library;
  /** The kept members, their programs written with the inventions. */
  readonly preserved: readonly PopulationMember[];
  readonly inventions: Compression['inventions'];
}

/** Learns inventions from the programs that stay, and fits the weights to them. */
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
  const massOf = massesOf(compressed.library);
  const preserved = kept.map((member, i) => {
    const program = compressed.programs[i] ?? member.program;
    return { ...member, program, mass: massOf(program) };
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

/** The spread of the test accuracies, and how they go with those on the training data. */
function summarize(
  metrics: readonly NetworkMetrics[],
): Pick<IterationRecord, 'spread' | 'correlation'> {
  const tests = metrics.map(({ test }) => test);
  return {
    spread: spreadOf(tests),
    correlation: correlation(
      metrics.map(({ train }) => train),
      tests,
    ),
  };
}

/** The model that validates best; of equal ones the lighter, then the earlier. */
function bestOf(records: readonly IterationRecord[]): GssnnDocument['best'] {
  const all = records.flatMap(({ models }, iteration) =>
    models.map((model, i) => ({ iteration: iteration + 1, model: i + 1, ...model })),
  );
  return all.reduce((best, one) => (isBetter(one, best) ? one : best));
}

/** Whether a model validates better than another, or as well with a lighter program. */
export function isBetter(
  one: Omit<ModelRecord, 'kept'>,
  other: Omit<ModelRecord, 'kept'>,
): boolean {
  const difference = one.metrics.validation - other.metrics.validation;
  return difference > 0 || (difference === 0 && one.mass < other.mass);
}

/**
 * A name for people: complete graphs, paths, cycles and stars have their usual ones, others are told by their
 * nodes, edges and degrees. Several edges between the same nodes count once.
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

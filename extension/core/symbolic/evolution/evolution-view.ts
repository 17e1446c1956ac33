import { GraphClasses, SimpleGraph } from '../evaluation/isomorphism';
import type { GraphJson } from '../random-graph';
import { initialLibrary } from '../language/library';
import { isPrimitive } from '../language/primitives';
import { parseTerm } from '../language/parse-term';
import { reduceTerm } from '../language/reduce';
import { Rejection } from '../language/rejection';
import { forEachSymbol, printTerm, termSize } from '../language/term';
import type { Term } from '../language/term';
import type { NetworkMetrics } from '../module/train-network';
import type {
  EvolutionSettings,
  GssnnDocument,
  IterationRecord,
  ModelRecord,
} from './gssnn-document';

/** State of an evolution, running or finished. */
export interface EvolutionState extends Partial<Pick<GssnnDocument, 'baselines' | 'best'>> {
  readonly settings: EvolutionSettings;
  /** Undefined until the data have been drawn. */
  readonly lines?: GssnnDocument['lines'];
  readonly iterations: readonly IterationRecord[];
  /** Models of the current iteration. */
  readonly models: readonly Omit<ModelRecord, 'kept'>[];
}

/** Program as written, and fully reduced with expanded inventions. */
export interface WrittenProgram {
  readonly text: string;
  /** Undefined if it is too long to print. */
  readonly reduced?: { readonly text: string; readonly symbols: number };
  /** Inventions used in it. */
  readonly uses: readonly string[];
}

export interface ModelView {
  readonly name: string;
  readonly graph: GraphJson;
  /** Equal for models with isomorphic graphs; from 0. */
  readonly graphClass: number;
  readonly program: WrittenProgram;
  readonly mass: number;
  readonly metrics: NetworkMetrics;
  /** Undefined until its iteration is done. */
  readonly kept?: boolean;
}

/** A population, with statistics once all its networks are trained. */
export interface IterationView extends Partial<
  Pick<IterationRecord, 'exploration' | 'spread' | 'correlation'>
> {
  readonly models: readonly ModelView[];
}

export interface InventionView {
  readonly name: string;
  readonly body: WrittenProgram;
  /**
   * Number, from 1, of the iteration whose programs it was learned from; the search uses it from the next iteration.
   */
  readonly iteration: number;
  readonly utility: number;
  /** Number of programs in each population that use it. */
  readonly programs: readonly number[];
}

/** Evolution as displayed. */
export interface EvolutionView {
  readonly settings: EvolutionSettings;
  readonly lines?: GssnnDocument['lines'];
  readonly baselines: readonly NetworkMetrics[];
  readonly iterations: readonly IterationView[];
  /** In the order they were learned. */
  readonly inventions: readonly InventionView[];
  /** Numbers, from 1, of the model with the best validation accuracy; undefined until the end. */
  readonly best?: { readonly iteration: number; readonly model: number };
}

/** Describes the result of an evolution, with printed programs. */
export function viewEvolution({
  settings,
  lines,
  baselines = [],
  best,
  iterations,
  models,
}: EvolutionState): EvolutionView {
  const learned = iterations.flatMap(({ learned: inventions }, i) =>
    inventions.map((invention) => ({ ...invention, iteration: i + 1 })),
  );
  const write = writer(learned);
  const classes = new GraphClasses();
  const view = ({ program, mass, metrics, name, graph }: Omit<ModelRecord, 'kept'>): ModelView => ({
    ...{ name, graph, mass, metrics },
    graphClass: classes.classOf(simple(graph)),
    program: write(program),
  });
  const populations: IterationView[] = [
    ...iterations.map(({ exploration, spread, correlation, models: trained }) => ({
      ...{ exploration, spread, correlation },
      models: trained.map((model) => ({ ...view(model), kept: model.kept })),
    })),
    ...(models.length === 0 ? [] : [{ models: models.map(view) }]),
  ];
  const inventions = learned.map(({ name, term, iteration, utility }) => ({
    ...{ name, body: write(term), iteration, utility },
    programs: populations.map(
      ({ models: trained }) => trained.filter(({ program }) => program.uses.includes(name)).length,
    ),
  }));
  return {
    settings,
    ...(lines === undefined ? {} : { lines }),
    baselines,
    iterations: populations,
    inventions,
    ...(best === undefined ? {} : { best: { iteration: best.iteration, model: best.model } }),
  };
}

/** Printer for terms of a library with these inventions; none may use a later one. */
function writer(
  inventions: readonly { readonly name: string; readonly term: string }[],
): (text: string) => WrittenProgram {
  const names = new Set(inventions.map(({ name }) => name));
  const parse = (text: string): Term =>
    parseTerm(text, (name) => isPrimitive(name) || names.has(name));
  const { entries } = initialLibrary();
  const [primitive] = entries;
  const library = {
    entries: [
      ...entries,
      // Reduction only reads terms, so every entry can have the same type.
      ...inventions.flatMap(({ name, term }) =>
        primitive === undefined ? [] : [{ ...primitive, name, term: parse(term) }],
      ),
    ],
  };
  return (text) => {
    const term = parse(text);
    const uses = new Set<string>();
    forEachSymbol(term, (name) => {
      if (names.has(name)) {
        uses.add(name);
      }
    });
    return { text, ...reduced(term, library), uses: [...uses] };
  };
}

function reduced(
  term: Term,
  library: Parameters<typeof reduceTerm>[1],
): Pick<WrittenProgram, 'reduced'> {
  try {
    const result = reduceTerm(term, library);
    return { reduced: { text: printTerm(result), symbols: termSize(result) } };
  } catch (error) {
    if (error instanceof Rejection) {
      return {};
    }
    throw error;
  }
}

function simple({ edges, size }: GraphJson): SimpleGraph {
  const ids = [...new Set([0, ...edges.map(([[node]]) => node)])];
  return new SimpleGraph(
    size,
    edges.map(([[node], [, neighbor]]) => [ids.indexOf(node), ids.indexOf(neighbor)] as const),
  );
}

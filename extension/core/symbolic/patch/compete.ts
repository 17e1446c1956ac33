import * as v from 'valibot';
import type { JobContext } from '../../jobs/job';
import { checkpoint } from '../../jobs/job';
import type { Journal } from '../../jobs/journal';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { RegressionData } from '../../linear-algebra/ridge';
import type { ModelInput } from '../../models/model-input';
import { patchMode, patchWidth } from '../../models/patch/symbolic-patch';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import type { Tensors } from '../../runtime/tensors';
import { UserError } from '../../user-error';
import { branchModel, runBranch, fitBranch } from './fit-branch';
import { contestantLayers, patchKinds } from './contestants';
import type { Contestant, PatchKind, FoundGraph } from './contestants';
import type { FitRecord, FittedBranch, PatchFitting } from './fit-branch';
import { divergences, regressionData, statesAround } from './sublayer-states';
import type { Branch } from './sublayer-states';
import { say } from '../../message';
import { initialLibrary, withInvention } from '../language/library';
import type { Library } from '../language/library';
import { parseTerm } from '../language/parse-term';
import { reduceTerm } from '../language/reduce';
import { printTerm } from '../language/term';
import { explore } from '../search/explore';

/** Sublayer to replace, with the candidates. */
export interface Competition {
  readonly executor: LayeredExecutor;
  /** Index of the sublayer. */
  readonly index: number;
  /** Texts for fitting, selection and final evaluation. */
  readonly texts: {
    readonly train: readonly ModelInput[];
    readonly validation: readonly ModelInput[];
    readonly test: readonly ModelInput[];
  };
  readonly contestants: readonly Contestant[];
  readonly fitting: PatchFitting;
  readonly memoryBytes: number;
}

/** Best candidate of one kind, selected by its error on the validation texts. */
export interface Standing {
  readonly kind: PatchKind;
  readonly parameters: number;
  /** Number of fitted candidates. */
  readonly tries: number;
  /** ‖ŷ − y‖² / ‖y‖² of the sublayer's output on the validation texts. */
  readonly ridgeError: number;
  readonly error: number;
  /** KL divergence from the original model on the test texts, in nats per token; see {@link PatchLoss}. */
  readonly loss: number;
}

/** Best contestant of its kind. */
interface Winner {
  readonly contestant: Contestant;
  readonly fitted: FittedBranch;
}

/** Comparison of the graph module with simpler replacements of a sublayer. */
export interface CompetitionResult {
  /** In the order of {@link patchKinds}. */
  readonly standings: readonly Standing[];
  /** The graph with the lowest error. */
  readonly best: Winner;
  /** True if its loss is below those of all others. */
  readonly accepted: boolean;
}

const recordSchema = v.object({
  key: v.string(),
  parameters: v.number(),
  ridgeError: v.number(),
  error: v.number(),
});

/** Parses a record from a journal. */
export function parseFitRecord(value: unknown): FitRecord | undefined {
  const result = v.safeParse(recordSchema, value);
  return result.success ? result.output : undefined;
}

/**
 * Fits all contestants to a sublayer's output, keeps the best of each kind, and measures their effect on the model's
 * output on texts that neither fitting nor selection has used.
 * @param journal results of an earlier run are reused; the best are fitted again, with the same result
 */
export async function compete(
  competition: Competition,
  journal: Journal<FitRecord>,
  context: JobContext,
): Promise<CompetitionResult> {
  const { executor, index, texts, contestants, fitting, memoryBytes } = competition;
  const loadData = async (inputs: readonly ModelInput[]): Promise<RegressionData> =>
    regressionData(executor, index, inputs, context);
  const data = { train: await loadData(texts.train), validation: await loadData(texts.validation) };
  const products = new MatrixProducts('cpu', memoryBytes);
  const { epochs } = fitting;
  const fit = async (contestant: Contestant): Promise<FittedBranch> => {
    const report = (epoch: number): void => {
      context.progress({
        stage: say`Fitting candidates`,
        done: contestants.indexOf(contestant) * epochs + epoch,
        total: contestants.length * epochs,
        unit: 'steps',
      });
    };
    report(0);
    return fitBranch(contestant, data, fitting, products, context.cancellation, report);
  };
  try {
    const records = new Map(journal.replayed.map((record) => [record.key, record]));
    const winners = new Map<PatchKind, { contestant: Contestant; tensors?: Tensors }>();
    for (const contestant of contestants) {
      const known = records.get(contestant.key);
      const fitted = known === undefined ? await fit(contestant) : undefined;
      const record = known ?? fitted?.record;
      if (fitted !== undefined) {
        await journal.append([fitted.record]);
        records.set(contestant.key, fitted.record);
      }
      const { kind } = contestant;
      const winner = winners.get(kind);
      const least = records.get(winner?.contestant.key ?? '')?.error ?? Number.POSITIVE_INFINITY;
      if ((record?.error ?? 0) < least || winner === undefined) {
        winners.set(kind, {
          contestant,
          ...(fitted === undefined ? {} : { tensors: fitted.tensors }),
        });
      }
    }
    const finished = new Map<PatchKind, Winner>();
    for (const [kind, { contestant, tensors }] of winners) {
      const record = records.get(contestant.key);
      const fitted =
        record === undefined || tensors === undefined ? await fit(contestant) : { record, tensors };
      finished.set(kind, { contestant, fitted });
    }
    return await judge(competition, finished, context);
  } finally {
    await products.dispose();
  }
}

/** Effect of the best of each kind on the model's output. */
async function judge(
  { executor, index, texts, contestants }: Competition,
  winners: ReadonlyMap<PatchKind, Winner>,
  context: JobContext,
): Promise<CompetitionResult> {
  const best = winners.get('graph');
  if (best === undefined) {
    throw new UserError('patch-not-found', say`No program creates a graph that can be a patch.`, {
      remedy: say`Try more programs, or use a library whose graphs have at most ${patchWidth} nodes and edges (${patchMode}).`,
    });
  }
  const branches = patchKinds.map((kind): Branch => {
    const winner = winners.get(kind);
    return winner === undefined ? nothing : createBranch(winner, context);
  });
  const states = await statesAround(executor, index, texts.test, context);
  const losses = await divergences(executor, index, texts.test, states, branches, context);
  const standings = patchKinds.map((kind, i): Standing => {
    const record = winners.get(kind)?.fitted.record;
    return {
      kind,
      parameters: record?.parameters ?? 0,
      tries: contestants.filter((one) => one.kind === kind).length,
      ridgeError: record?.ridgeError ?? 1,
      error: record?.error ?? 1,
      loss: losses[i] ?? Number.NaN,
    };
  });
  const own = standings.find(({ kind }) => kind === 'graph');
  const accepted = standings.every(
    ({ kind, loss }) => kind === 'graph' || (own?.loss ?? Number.NaN) < loss,
  );
  return { standings, best, accepted };
}

const nothing: Branch = (rows) =>
  Promise.resolve({ ...rows, numbers: new Float32Array(rows.numbers.length) });

function createBranch({ contestant, fitted }: Winner, { cancellation }: JobContext): Branch {
  return async (rows: Rows) =>
    runBranch(
      branchModel(contestantLayers(contestant, rows.length), rows.length, contestant.seed),
      fitted.tensors,
      rows,
      async () => checkpoint(cancellation),
    );
}

/**
 * Inventions that the search of arXiv 2303.03340 learned first (released logs): with primitives alone, a million
 * programs build two graphs.
 */
const inventions = [
  ['fn_0', '(lam (push (add (connect $0))))'],
  ['fn_1', '(lam (fn_0 (next_port (fn_0 $0))))'],
  ['fn_2', '(lam (add (connect $0)))'],
] as const;

/** Library of the primitives and inventions that build chains, stars and rings. */
export function patchLibrary(): Library {
  return inventions.reduce((library, [name, text]) => {
    const names = new Set(library.entries.map((entry) => entry.name));
    return withInvention(
      library,
      name,
      parseTerm(text, (one) => names.has(one)),
    );
  }, initialLibrary());
}

/** Default limits of the search for patches: graphs to try, and programs to enumerate. */
export const defaultPatchLimits = { graphs: 4, programs: 20_000 };

/**
 * First graphs that programs build in order of likelihood, each with the enumerated program of least mass that builds
 * it, expanded to primitives.
 */
export async function findGraphs(
  library: Library,
  limits: { readonly graphs: number; readonly programs: number },
  context: JobContext,
): Promise<FoundGraph[]> {
  const { population } = await explore(
    library,
    { quota: limits.graphs, programLimit: limits.programs },
    context,
  );
  return population.map(({ graph, program }) => ({
    graph,
    program: printTerm(reduceTerm(program, library)),
  }));
}

import { median } from '../../median';
import type { BudgetPart, BudgetSolution, PartChoice, PartState } from './budget-problem';
import type { PlanMeasurement } from './plan-measurer';
import { removedSublayers } from './part-states';
import type { PlannedState } from './part-states';
import type { PlannedPart, PlannedProblem } from './plan-under-budget';

/** Range of the factor between a change's effect together with others and its effect alone. */
const [leastFactor, mostFactor] = [0.1, 10] as const;

/** Kinds of states whose changes are assumed to have similar factors. */
type Kind = 'gone' | 'width-pruned' | 'whole';

/** Factors between the effects of a part's state and layers together with other changes and alone. */
interface Factors {
  readonly kind: Kind;
  readonly state: number | undefined;
  /** By id of the layer. */
  readonly layers: ReadonlyMap<string, number>;
}

/**
 * Replaces the losses of chosen changes by those measured together with the others. Other changes get the median factor
 * of their kind. Kinds without a chosen change keep the profile's losses, so that later plans try them.
 */
export function reweighLosses(
  problem: PlannedProblem,
  { parts: choices }: BudgetSolution,
  { distance, without }: PlanMeasurement,
): PlannedProblem {
  const measuredFactor = (ids: readonly string[], loss: number): number | undefined => {
    const others = ids.flatMap((id) => without.get(id) ?? []);
    const effect = others.reduce((sum, other) => sum + distance - other, 0);
    return others.length < ids.length || loss <= 0
      ? undefined
      : Math.min(mostFactor, Math.max(leastFactor, effect / loss));
  };
  const factors = problem.planned.map((part, i) =>
    partFactors(part, problem.parts[i], choices[i], measuredFactor),
  );
  const medianFactor = (kind: Kind): number => {
    const own = factors.filter((one) => one.kind === kind);
    const known = own.flatMap(({ state, layers }) =>
      [state, ...layers.values()].flatMap((one) => one ?? []),
    );
    return known.length === 0 ? 1 : median(known);
  };
  const medians = {
    gone: medianFactor('gone'),
    'width-pruned': medianFactor('width-pruned'),
    whole: medianFactor('whole'),
  };
  const parts = problem.parts.map(({ states }, i): BudgetPart => {
    const own = factors[i];
    const chosen = choices[i]?.state ?? 0;
    return {
      states: states.map((state, index): PartState => {
        const planned = problem.planned[i]?.states[index];
        const kind = stateKind(planned);
        const stateFactor = (own?.kind === kind ? own.state : undefined) ?? medians[kind];
        return {
          ...state,
          loss: state.loss * stateFactor,
          layers: state.layers.map((options, layer) => {
            const known = own?.layers.get(planned?.matrices[layer]?.tensor ?? '');
            const factor = known ?? (index === chosen ? stateFactor : medians.whole);
            return options.map((option) => ({ ...option, loss: option.loss * factor }));
          }),
        };
      }),
    };
  });
  return { ...problem, parts };
}

function stateKind(planned: PlannedState | undefined): Kind {
  if (planned === undefined || planned.changes.length === 0) {
    return 'whole';
  }
  return removedSublayers(planned).length > 0 ? 'gone' : 'width-pruned';
}

/** Factors of a part. A width-pruned or removed sublayer is restored as a whole, so its layers share one factor. */
function partFactors(
  { states }: PlannedPart,
  part: BudgetPart | undefined,
  choice: PartChoice | undefined,
  measuredFactor: (ids: readonly string[], loss: number) => number | undefined,
): Factors {
  const index = choice?.state ?? 0;
  const state = part?.states[index];
  const { changes = [], matrices = [] } = states[index] ?? {};
  const changed = new Set(changes.map(({ sublayer }) => sublayer));
  const layers = matrices.map((matrix, layer) => ({
    tensor: matrix.tensor,
    isShared: 'sublayer' in matrix && changed.has(matrix.sublayer),
    loss: state?.layers[layer]?.[choice?.options[layer] ?? 0]?.loss ?? 0,
  }));
  const shared = layers.reduce((sum, { isShared, loss }) => sum + (isShared ? loss : 0), 0);
  return {
    kind: stateKind(states[index]),
    state:
      changed.size === 0 ? undefined : measuredFactor([...changed], (state?.loss ?? 0) + shared),
    layers: new Map(
      layers.flatMap(({ tensor, isShared, loss }) => {
        const factor = isShared ? undefined : measuredFactor([tensor], loss);
        return factor === undefined ? [] : [[tensor, factor] as const];
      }),
    ),
  };
}

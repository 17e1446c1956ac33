import { median } from '../../median';
import type { BudgetPart, BudgetSolution, PartChoice, PartState } from './budget-problem';
import type { PlanMeasurement } from './plan-measurer';
import type { PlannedPart, PlannedProblem, PlannedState } from './plan-under-budget';

/** Range of the factor between a change's effect together with others and its effect alone. */
const [leastFactor, mostFactor] = [0.1, 10] as const;

/** Kinds of states whose changes are assumed to have similar factors. */
type Kind = 'gone' | 'width-pruned' | 'whole';

/** Factors between the effects of a part's state and layers together with other changes and alone. */
interface Factors {
  readonly kind: Kind;
  readonly state: number | undefined;
  readonly layers: readonly (number | undefined)[];
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
  const measuredFactor = (id: string | undefined, loss: number): number | undefined => {
    const other = id === undefined ? undefined : without.get(id);
    return other === undefined || loss <= 0
      ? undefined
      : Math.min(mostFactor, Math.max(leastFactor, (distance - other) / loss));
  };
  const factors = problem.planned.map((part, i) =>
    partFactors(part, problem.parts[i], choices[i], measuredFactor),
  );
  const medianFactor = (kind: Kind): number => {
    const own = factors.filter((one) => one.kind === kind);
    const known = own.flatMap(({ state, layers }) =>
      [state, ...layers].flatMap((one) => one ?? []),
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
        const kind = stateKind(problem.planned[i]?.states[index]);
        const stateFactor = (own?.kind === kind ? own.state : undefined) ?? medians[kind];
        return {
          ...state,
          loss: state.loss * stateFactor,
          layers: state.layers.map((options, layer) => {
            const factor = own?.layers[layer] ?? (index === chosen ? stateFactor : medians.whole);
            return options.map((option) => ({ ...option, loss: option.loss * factor }));
          }),
        };
      }),
    };
  });
  return { ...problem, parts };
}

function stateKind(planned: PlannedState | undefined): Kind {
  return planned?.isGone === true
    ? 'gone'
    : planned?.width === undefined
      ? 'whole'
      : 'width-pruned';
}

/** Factors of a part; a width-pruned or removed part is restored as a whole, so its layers share one factor. */
function partFactors(
  { sublayer, matrices, states }: PlannedPart,
  part: BudgetPart | undefined,
  choice: PartChoice | undefined,
  measuredFactor: (id: string | undefined, loss: number) => number | undefined,
): Factors {
  const index = choice?.state ?? 0;
  const state = part?.states[index];
  const layerLoss = (layer: number): number =>
    state?.layers[layer]?.[choice?.options[layer] ?? 0]?.loss ?? 0;
  const kind = stateKind(states[index]);
  if (kind !== 'whole') {
    const all = (state?.layers ?? []).reduce((sum, _, layer) => sum + layerLoss(layer), 0);
    return { kind, state: measuredFactor(sublayer, (state?.loss ?? 0) + all), layers: [] };
  }
  return {
    kind,
    state: undefined,
    layers: matrices.map(({ tensor }, layer) => measuredFactor(tensor, layerLoss(layer))),
  };
}

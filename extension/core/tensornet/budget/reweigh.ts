import { median } from '../../median';
import type { BudgetPart, BudgetSolution, PartChoice, PartState } from './budget-problem';
import type { PlanMeasurement } from './plan-measurer';
import type { PlannedPart, PlannedProblem, PlannedState } from './plan-under-budget';

/** Bounds of how much more or less a change is taken to cost among the others than alone. */
const [leastFactor, mostFactor] = [0.1, 10] as const;

/** Changes that are taken to add up alike. */
type Kind = 'gone' | 'narrower' | 'whole';

/** How much more or less than alone a part's state and its layers change the model among the other changes. */
interface Factors {
  readonly kind: Kind;
  readonly state: number | undefined;
  readonly layers: readonly (number | undefined)[];
}

/**
 * The problem with the losses of chosen changes as measured among the others. Other changes get the median factor of
 * their kind. A kind without a chosen change keeps the table's losses, so that later plans try it.
 */
export function reweighed(
  problem: PlannedProblem,
  { parts: choices }: BudgetSolution,
  { distance, without }: PlanMeasurement,
): PlannedProblem {
  const factorOf = (id: string | undefined, loss: number): number | undefined => {
    const other = id === undefined ? undefined : without.get(id);
    return other === undefined || loss <= 0
      ? undefined
      : Math.min(mostFactor, Math.max(leastFactor, (distance - other) / loss));
  };
  const factors = problem.planned.map((part, i) =>
    factorsOf(part, problem.parts[i], choices[i], factorOf),
  );
  const medianOf = (kind: Kind): number => {
    const own = factors.filter((one) => one.kind === kind);
    const known = own.flatMap(({ state, layers }) =>
      [state, ...layers].flatMap((one) => one ?? []),
    );
    return known.length === 0 ? 1 : median(known);
  };
  const medians = {
    gone: medianOf('gone'),
    narrower: medianOf('narrower'),
    whole: medianOf('whole'),
  };
  const parts = problem.parts.map(({ states }, i): BudgetPart => {
    const own = factors[i];
    const chosen = choices[i]?.state ?? 0;
    return {
      states: states.map((state, index): PartState => {
        const kind = kindOf(problem.planned[i]?.states[index]);
        const ofState = (own?.kind === kind ? own.state : undefined) ?? medians[kind];
        return {
          ...state,
          loss: state.loss * ofState,
          layers: state.layers.map((options, layer) => {
            const factor = own?.layers[layer] ?? (index === chosen ? ofState : medians.whole);
            return options.map((option) => ({ ...option, loss: option.loss * factor }));
          }),
        };
      }),
    };
  });
  return { ...problem, parts };
}

function kindOf(planned: PlannedState | undefined): Kind {
  return planned?.isGone === true ? 'gone' : planned?.width === undefined ? 'whole' : 'narrower';
}

/** What is narrowed or gone is taken back as a whole, so that its layers share its factor. */
function factorsOf(
  { sublayer, matrices, states }: PlannedPart,
  part: BudgetPart | undefined,
  choice: PartChoice | undefined,
  factorOf: (id: string | undefined, loss: number) => number | undefined,
): Factors {
  const index = choice?.state ?? 0;
  const state = part?.states[index];
  const lossOf = (layer: number): number =>
    state?.layers[layer]?.[choice?.options[layer] ?? 0]?.loss ?? 0;
  const kind = kindOf(states[index]);
  if (kind !== 'whole') {
    const all = (state?.layers ?? []).reduce((sum, _, layer) => sum + lossOf(layer), 0);
    return { kind, state: factorOf(sublayer, (state?.loss ?? 0) + all), layers: [] };
  }
  return {
    kind,
    state: undefined,
    layers: matrices.map(({ tensor }, layer) => factorOf(tensor, lossOf(layer))),
  };
}

/** One cost per limit of a problem, in the same order; for example bytes and FLOPs. */
export type Costs = readonly number[];

/** Costs of one encoding of a linear layer, and its effect on the model's output. */
export interface LayerOption {
  readonly costs: Costs;
  /** Distance to the original's output if only this layer is changed. */
  readonly loss: number;
}

/** State of a part of a model: unchanged, width-pruned or removed. */
export interface PartState {
  /** Costs of tensors outside its layers, such as norms, and of KV caches. */
  readonly costs: Costs;
  readonly loss: number;
  /** Options of each layer in this state; one per layer is chosen. */
  readonly layers: readonly (readonly LayerOption[])[];
}

/** Sublayer, embedding or head; exactly one of its states is chosen. */
export interface BudgetPart {
  readonly states: readonly PartState[];
}

/** Choice under several limits; parts are independent, costs and losses are additive. */
export interface BudgetProblem {
  readonly parts: readonly BudgetPart[];
  /** Maximum of each cost, after subtracting costs outside the parts. */
  readonly limits: readonly number[];
  /** Allowed combinations of states, exactly one of them chosen; undefined if all states are allowed. */
  readonly alternatives?: readonly Alternative[] | undefined;
}

/** Indices of the allowed states of each part. */
export type Alternative = readonly (readonly number[])[];

/** Parts with the allowed states only; `choice` converts a solution to the states of the whole problem. */
interface Restricted {
  readonly parts: readonly BudgetPart[];
  readonly choice: (choices: readonly PartChoice[]) => PartChoice[];
}

/** The problem for each of its alternatives. */
export function eachAlternative({
  parts,
  alternatives,
}: Pick<BudgetProblem, 'parts' | 'alternatives'>): Restricted[] {
  return (alternatives ?? [parts.map(({ states }) => [...states.keys()])]).map((allowed) => ({
    parts: parts.map(({ states }, i) => ({
      states: (allowed[i] ?? []).flatMap((index) => states[index] ?? []),
    })),
    choice: (choices) =>
      choices.map(({ state, options }, i) => ({ state: allowed[i]?.[state] ?? state, options })),
  }));
}

/** Choice for a part: the index of its state, and the option of each layer in that state. */
export interface PartChoice {
  readonly state: number;
  readonly options: readonly number[];
}

export interface BudgetSolution {
  readonly parts: readonly PartChoice[];
  readonly costs: Costs;
  /** Sum of the losses, which is compared with the measured distance. */
  readonly loss: number;
}

/** Minimum of one cost over all choices. */
export function leastCost(
  problem: Pick<BudgetProblem, 'parts' | 'alternatives'>,
  limit: number,
): number {
  const limitedCost = ({ costs }: LayerOption): number => costs[limit] ?? 0;
  const least = (state: PartState): number =>
    state.layers.reduce(
      (sum, options) => sum + Math.min(...options.map(limitedCost)),
      limitedCost(state),
    );
  return Math.min(
    ...eachAlternative(problem).map(({ parts }) =>
      parts.reduce((sum, { states }) => sum + Math.min(...states.map(least)), 0),
    ),
  );
}

/** Relative tolerance of sums of costs that are added in different orders. */
export const slack = 1 + 1e-9;

/** Lowest limit that can be met. */
export const leastLimit = (
  problem: Pick<BudgetProblem, 'parts' | 'alternatives'>,
  limit: number,
): number => slack * leastCost(problem, limit);

/** Sums of costs and losses of a choice. */
export function totals(
  { parts, limits }: BudgetProblem,
  choices: readonly PartChoice[],
): Pick<BudgetSolution, 'costs' | 'loss'> {
  const costs = limits.map(() => 0);
  let loss = 0;
  const add = (taken: LayerOption | undefined): void => {
    if (taken === undefined) {
      return;
    }
    loss += taken.loss;
    for (let i = 0; i < costs.length; i++) {
      costs[i] = (costs[i] ?? 0) + (taken.costs[i] ?? 0);
    }
  };
  for (let i = 0; i < parts.length; i++) {
    const choice = choices[i];
    const state = choice && parts[i]?.states[choice.state];
    add(state);
    const layers = state?.layers ?? [];
    for (let layer = 0; layer < layers.length; layer++) {
      add(layers[layer]?.[choice?.options[layer] ?? -1]);
    }
  }
  return { costs, loss };
}

/** Indices of the options on the Pareto front: no other option has lower or equal costs and a lower loss. */
export function undominated(options: readonly LayerOption[]): number[] {
  const isBetter = (a: LayerOption, b: LayerOption): boolean =>
    a.loss <= b.loss && a.costs.every((cost, i) => cost <= (b.costs[i] ?? 0));
  return options.flatMap((option, index) => {
    const isBeaten = options.some(
      (other, i) =>
        i !== index && isBetter(other, option) && (i < index || !isBetter(option, other)),
    );
    return isBeaten ? [] : [index];
  });
}

/** One cost for each limit of a problem, in their order: such as bytes or FLOPs. */
export type Costs = readonly number[];

/** What one way to store and run a linear layer costs, and what it does to the model's output. */
export interface LayerOption {
  readonly costs: Costs;
  /** Distance to the original's output where this layer alone is changed. */
  readonly loss: number;
}

/** A part of a model as it may become: whole, narrower, or gone. */
export interface PartState {
  /** Of what is not among its layers, such as norms and key/value caches. */
  readonly costs: Costs;
  readonly loss: number;
  /** The options of each layer that the part then has; one of each is taken. */
  readonly layers: readonly (readonly LayerOption[])[];
}

/** A sublayer, an embedding or a head; exactly one of its states is taken. */
export interface BudgetPart {
  readonly states: readonly PartState[];
}

/** A choice under several limits: parts are independent of each other, costs and losses add up. */
export interface BudgetProblem {
  readonly parts: readonly BudgetPart[];
  /** Most of each cost; what else the model costs is taken off before. */
  readonly limits: readonly number[];
}

/** What becomes of a part: the indexes of its state, and of the option of each layer of that state. */
export interface PartChoice {
  readonly state: number;
  readonly options: readonly number[];
}

export interface BudgetSolution {
  readonly parts: readonly PartChoice[];
  readonly costs: Costs;
  /** Sum of the losses: what a real measurement is held against. */
  readonly loss: number;
}

/** The least of one cost that any choice of the parts has. */
export function leastCost(parts: readonly BudgetPart[], limit: number): number {
  const costOf = ({ costs }: LayerOption): number => costs[limit] ?? 0;
  const least = (state: PartState): number =>
    state.layers.reduce((sum, options) => sum + Math.min(...options.map(costOf)), costOf(state));
  return parts.reduce((sum, { states }) => sum + Math.min(...states.map(least)), 0);
}

/** What sums of costs differ by where they are added in another order. */
export const slack = 1 + 1e-9;

/** The least limit that can be kept. */
export const leastLimit = (parts: readonly BudgetPart[], limit: number): number =>
  slack * leastCost(parts, limit);

/** Sums over a choice. */
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

/** Indexes of the options that no other beats: one that costs no more of anything and loses less. */
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

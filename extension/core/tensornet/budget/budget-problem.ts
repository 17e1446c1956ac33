/** What one way to store and run a linear layer costs, and what it does to the model's output. */
export interface LayerOption {
  /** In the unit of the budget: bytes, parameters, FLOPs or milliseconds. */
  readonly cost: number;
  /** Distance to the original's output where this layer alone is changed. */
  readonly loss: number;
}

/** A linear layer and what may become of it; exactly one option is taken unless its sublayer goes. */
export interface LayerChoice {
  readonly options: readonly LayerOption[];
  /** Index among the sublayers that may be removed, if its own may. */
  readonly sublayer?: number;
}

/** A sublayer that may be removed as a whole, its linear layers with it. */
export interface RemovableSublayer {
  /** What goes besides its linear layers, such as norms and biases. */
  readonly cost: number;
  readonly loss: number;
}

/** A choice under a budget: options and sublayers are independent of each other, losses add up. */
export interface BudgetProblem {
  readonly layers: readonly LayerChoice[];
  readonly sublayers: readonly RemovableSublayer[];
  /** For the layers and sublayers listed; what else the model costs is taken off before. */
  readonly budget: number;
}

export interface BudgetSolution {
  /** Index of each layer's option, or undefined where it goes with its sublayer. */
  readonly options: readonly (number | undefined)[];
  /** Indexes of the sublayers that go, ascending. */
  readonly removed: readonly number[];
  readonly cost: number;
  /** Sum of the losses: what a real measurement is held against. */
  readonly loss: number;
}

/*
 * Scores of examples in dataset order. `logits` are rows [examples, classes]; `labels` are the class
 * index of each row.
 */

/** Writes the softmax of one row to `into`. */
function softmax(logits: Float32Array, row: number, into: Float64Array): void {
  const start = row * into.length;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < into.length; i++) {
    most = Math.max(most, logits[start + i] ?? 0);
  }
  let sum = 0;
  for (let i = 0; i < into.length; i++) {
    const power = Math.exp((logits[start + i] ?? 0) - most);
    into[i] = power;
    sum += power;
  }
  for (let i = 0; i < into.length; i++) {
    into[i] = (into[i] ?? 0) / sum;
  }
}

/** Calls back with the softmax of each row. The array is reused. */
export function eachRow(
  logits: Float32Array,
  labels: ArrayLike<number>,
  visit: (probabilities: Float64Array, label: number, row: number) => void,
): void {
  const probabilities = new Float64Array(logits.length / Math.max(1, labels.length));
  for (let row = 0; row < labels.length; row++) {
    softmax(logits, row, probabilities);
    visit(probabilities, labels[row] ?? 0, row);
  }
}

function scoreRows(
  logits: Float32Array,
  labels: ArrayLike<number>,
  score: (probabilities: Float64Array, label: number) => number,
): Float64Array {
  const scores = new Float64Array(labels.length);
  eachRow(logits, labels, (probabilities, label, row) => {
    scores[row] = score(probabilities, label);
  });
  return scores;
}

/** EL2N: ‖softmax(logits) − y‖₂ (Paul et al. 2021, arXiv 2107.07075, definition 2.2). */
export function el2n(logits: Float32Array, labels: ArrayLike<number>): Float64Array {
  return scoreRows(logits, labels, (probabilities, label) =>
    Math.hypot(...probabilities.map((p, i) => (i === label ? p - 1 : p))),
  );
}

/** Margin error: largest probability of another class − that of the label, −1 … 1. */
export function marginError(logits: Float32Array, labels: ArrayLike<number>): Float64Array {
  return scoreRows(logits, labels, (probabilities, label) => {
    const others = probabilities.map((p, i) => (i === label ? Number.NEGATIVE_INFINITY : p));
    return Math.max(...others) - (probabilities[label] ?? 0);
  });
}

/** 1 if the label has the largest logit. Ties select the first class. */
export function isCorrect(logits: Float32Array, labels: ArrayLike<number>): Uint8Array {
  const classes = logits.length / Math.max(1, labels.length);
  return Uint8Array.from(labels, (label, row) => {
    const start = row * classes;
    let best = 0;
    for (let i = 1; i < classes; i++) {
      best = (logits[start + i] ?? 0) > (logits[start + best] ?? 0) ? i : best;
    }
    return best === label ? 1 : 0;
  });
}

/**
 * Counts forgetting events (Toneva et al. 2019, arXiv 1812.05159): changes of an example from correct to wrong between
 * two evaluations. Infinity for examples that were never correct.
 */
export class Forgetting {
  private readonly events: Float64Array;
  private readonly right: Uint8Array;
  private readonly learned: Uint8Array;

  public constructor(examples: number) {
    this.events = new Float64Array(examples);
    this.right = new Uint8Array(examples);
    this.learned = new Uint8Array(examples);
  }

  /** Records the output of `isCorrect` for examples from `start`. */
  public observe(correct: Uint8Array, start = 0): void {
    correct.forEach((now, i) => {
      const example = start + i;
      if (this.right[example] === 1 && now === 0) {
        this.events[example] = (this.events[example] ?? 0) + 1;
      }
      this.right[example] = now;
      this.learned[example] = (this.learned[example] ?? 0) | now;
    });
  }

  public get scores(): Float64Array {
    return this.events.map((count, i) =>
      this.learned[i] === 1 ? count : Number.POSITIVE_INFINITY,
    );
  }
}

/** Statistics of examples over epochs (Swayamdipta et al. 2020, arXiv 2009.10795, § 2). */
export interface CartographyStatistics {
  /** Mean probability of the label. */
  readonly confidence: Float64Array;
  /** Population standard deviation of the label's probability over all epochs. */
  readonly variability: Float64Array;
  /** Share of epochs in which the label was predicted. */
  readonly correctness: Float64Array;
}

/** Accumulates cartography statistics. Epochs of several seeds may be recorded in sequence. */
export class Cartography {
  private epochs = 0;
  private readonly mean: Float64Array;
  /** Sum of squared differences from the mean (Welford 1962). */
  private readonly squares: Float64Array;
  private readonly right: Float64Array;

  public constructor(examples: number) {
    this.mean = new Float64Array(examples);
    this.squares = new Float64Array(examples);
    this.right = new Float64Array(examples);
  }

  /** Records the label probabilities and correctness of all examples for one epoch. */
  public observe(probability: Float64Array, correct: Uint8Array): void {
    this.epochs++;
    probability.forEach((p, i) => {
      const before = this.mean[i] ?? 0;
      const mean = before + (p - before) / this.epochs;
      this.mean[i] = mean;
      this.squares[i] = (this.squares[i] ?? 0) + (p - before) * (p - mean);
      this.right[i] = (this.right[i] ?? 0) + (correct[i] ?? 0);
    });
  }

  public get statistics(): CartographyStatistics {
    const epochs = Math.max(1, this.epochs);
    return {
      confidence: this.mean.slice(),
      variability: this.squares.map((sum) => Math.sqrt(sum / epochs)),
      correctness: this.right.map((count) => count / epochs),
    };
  }
}

/** Mean score of each example over runs. Infinite scores stay infinite. */
export function meanOverRuns(runs: readonly Float64Array[]): Float64Array {
  const [first] = runs;
  if (first === undefined) {
    throw new Error('there is no run to average');
  }
  return first.map((_, i) => runs.reduce((sum, run) => sum + (run[i] ?? 0), 0) / runs.length);
}

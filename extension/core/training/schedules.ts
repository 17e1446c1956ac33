/** Learning rate schedule. */
export type Schedule =
  | { readonly kind: 'constant' }
  /** Multiplied by `factor` at each of the steps `at`. */
  | { readonly kind: 'step'; readonly at: readonly number[]; readonly factor: number }
  /** Decays from 1 to `minimum` along half a cosine, over `steps` (Loshchilov and Hutter 2017, eq. 5). */
  | { readonly kind: 'cosine'; readonly steps: number; readonly minimum?: number }
  /** Multiplied by `factor` after the loss hasn't improved for more than `patience` observations. */
  | {
      readonly kind: 'plateau';
      readonly factor: number;
      readonly patience: number;
      /** Relative improvement of the best loss that counts. */
      readonly threshold?: number;
      /** Observations after a reduction that are ignored. */
      readonly cooldown?: number;
    };

export interface LearningRateOptions {
  readonly rate: number;
  readonly schedule?: Schedule;
  /** Steps over which the rate rises linearly from rate / (steps + 1) to its full value. */
  readonly warmUpSteps?: number;
}

/** State of a plateau schedule; part of a checkpoint. */
export interface PlateauState {
  readonly best: number | null;
  readonly bad: number;
  readonly cooling: number;
  readonly factor: number;
}

/** Learning rate of each step, counted from 0. */
export class LearningRate {
  private plateau: PlateauState = { best: null, bad: 0, cooling: 0, factor: 1 };

  public constructor(private readonly options: LearningRateOptions) {}

  public get state(): PlateauState {
    return this.plateau;
  }

  public restore(state: PlateauState): void {
    this.plateau = state;
  }

  public at(step: number): number {
    const { rate, schedule = { kind: 'constant' }, warmUpSteps = 0 } = this.options;
    const warm = Math.min(1, (step + 1) / (warmUpSteps + 1));
    return rate * warm * this.factor(schedule, Math.max(0, step - warmUpSteps));
  }

  /** Reports the loss of a step or an epoch to a plateau schedule. */
  public observe(loss: number): void {
    const { schedule } = this.options;
    if (schedule?.kind !== 'plateau') {
      return;
    }
    const { factor, patience, threshold = 1e-4, cooldown = 0 } = schedule;
    const { best, bad, cooling, factor: reached } = this.plateau;
    const fell = best === null || loss < best * (1 - threshold);
    const idle = fell || cooling > 0 ? 0 : bad + 1;
    const reduce = idle > patience;
    this.plateau = {
      best: fell ? loss : best,
      bad: reduce ? 0 : idle,
      cooling: reduce ? cooldown : Math.max(0, cooling - 1),
      factor: reduce ? reached * factor : reached,
    };
  }

  private factor(schedule: Schedule, step: number): number {
    switch (schedule.kind) {
      case 'constant':
        return 1;
      case 'step':
        return schedule.factor ** schedule.at.filter((at) => step >= at).length;
      case 'cosine': {
        const { steps, minimum = 0 } = schedule;
        const done = Math.min(1, step / steps);
        return minimum + ((1 - minimum) * (1 + Math.cos(Math.PI * done))) / 2;
      }
      case 'plateau':
        return this.plateau.factor;
    }
  }
}

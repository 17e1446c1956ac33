import type { LayeredExecutor } from '../runtime/layered-executor';
import type { SearchWork } from './search-work';

/** Where the time of a search goes: runs of the model and of its int8 copy, and opening their sessions. */
const kinds = ['model', 'copy', 'modelOpenings', 'copyOpenings'] as const;
type Kind = (typeof kinds)[number];

/** Work by kind: runs in sublayer evaluations, openings in bytes. */
export type WorkByKind = Readonly<Record<Kind, number>>;

/** Executors of the model and of its int8 copy, if there is one. */
export interface SearchExecutors {
  readonly executor: LayeredExecutor;
  readonly copy: LayeredExecutor | undefined;
}

/** Seconds after which measurements of a rate count half, so that rates follow the load of the machine. */
const halfLife = 60;
/** Time of an evaluation by the model relative to one by its int8 copy, until both are measured. */
export const typicalSpeedup = 2;

/** Work of a search that does nothing. */
export const noWork: WorkByKind = { model: 0, copy: 0, modelOpenings: 0, copyOpenings: 0 };

/** Work of a search so far. */
export function spentWork(
  work: SearchWork,
  { executor, copy }: Partial<SearchExecutors>,
): WorkByKind {
  return {
    model: work.cost - work.copy.cost,
    copy: work.copy.cost,
    modelOpenings: executor?.openings.bytes ?? 0,
    copyOpenings: copy?.openings.bytes ?? 0,
  };
}

export function combineWork(
  one: WorkByKind,
  other: WorkByKind,
  combine: (a: number, b: number) => number,
): WorkByKind {
  const pairs = kinds.map((kind) => [kind, combine(one[kind], other[kind])] as const);
  return Object.fromEntries(pairs) as Record<Kind, number>;
}

/** Sum of two amounts of work. */
export const addWork = (one: WorkByKind, other: WorkByKind): WorkByKind =>
  combineWork(one, other, (a, b) => a + b);

export const scaleWork = (work: WorkByKind, times: number): WorkByKind =>
  combineWork(work, work, (amount) => amount * times);

/** Seconds per unit of each kind of work, measured while a search runs. */
export class SearchRates {
  /** Time and work of each kind, older measurements with less weight. */
  private readonly measured: Record<Kind, { seconds: number; units: number }> = {
    model: { seconds: 0, units: 0 },
    copy: { seconds: 0, units: 0 },
    modelOpenings: { seconds: 0, units: 0 },
    copyOpenings: { seconds: 0, units: 0 },
  };
  private last: { time: number; work: WorkByKind; modelOpening: number; copyOpening: number };
  /** Total seconds in which work was measured. */
  private total = 0;

  public constructor(
    private readonly work: SearchWork,
    private readonly executors: Partial<SearchExecutors>,
  ) {
    this.last = this.now();
  }

  /** Seconds of measured work so far. */
  public get seconds(): number {
    return this.total;
  }

  /** Attributes the time since the last call to the work that was done in it. */
  public update(): void {
    const { last } = this;
    const now = this.now();
    const done = combineWork(now.work, last.work, (after, before) => after - before);
    if (done.model + done.copy <= 0) {
      // The run that takes this time isn't counted yet.
      return;
    }
    this.last = now;
    const modelOpening = now.modelOpening - last.modelOpening;
    const copyOpening = now.copyOpening - last.copyOpening;
    const running = Math.max(0, now.time - last.time - modelOpening - copyOpening);
    this.add('modelOpenings', modelOpening, done.modelOpenings);
    this.add('copyOpenings', copyOpening, done.copyOpenings);
    const [onModel, onCopy] = [
      done.model * this.secondsPerUnit('model'),
      done.copy * this.secondsPerUnit('copy'),
    ];
    const share = onModel / (onModel + onCopy);
    this.add('model', running * share, done.model);
    this.add('copy', running * (1 - share), done.copy);
    this.total += running + modelOpening + copyOpening;
  }

  /** Expected seconds of some work; in evaluations until anything is measured. */
  public secondsFor(work: WorkByKind): number {
    return kinds.reduce((sum, kind) => sum + work[kind] * this.secondsPerUnit(kind), 0);
  }

  private secondsPerUnit(kind: Kind): number {
    const [own, other] = [this.measuredRate(kind), this.measuredRate(sibling[kind])];
    if (own !== undefined) {
      return own;
    }
    switch (kind) {
      case 'model':
        return other === undefined ? 1 : other * typicalSpeedup;
      case 'copy':
        return other === undefined ? 1 / typicalSpeedup : other / typicalSpeedup;
      default:
        return other ?? 0;
    }
  }

  private measuredRate(kind: Kind): number | undefined {
    const { seconds, units } = this.measured[kind];
    return units > 0 && seconds > 0 ? seconds / units : undefined;
  }

  private add(kind: Kind, seconds: number, units: number): void {
    if (units > 0) {
      const { [kind]: before } = this.measured;
      const kept = 0.5 ** (seconds / halfLife);
      before.seconds = kept * before.seconds + seconds;
      before.units = kept * before.units + units;
    }
  }

  private now(): SearchRates['last'] {
    const { executor, copy } = this.executors;
    return {
      time: performance.now() / 1000,
      work: spentWork(this.work, this.executors),
      modelOpening: executor?.openings.seconds ?? 0,
      copyOpening: copy?.openings.seconds ?? 0,
    };
  }
}

const sibling: Readonly<Record<Kind, Kind>> = {
  model: 'copy',
  copy: 'model',
  modelOpenings: 'copyOpenings',
  copyOpenings: 'modelOpenings',
};

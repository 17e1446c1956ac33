import { writeFileSync } from 'node:fs';
import type { ProfileEvent } from '../../extension/core/prune/layer-profile';
import { SearchProgress } from '../../extension/core/prune/search-progress';
import type { SearchExecutors } from '../../extension/core/prune/search-rates';
import type { SearchWork } from '../../extension/core/prune/search-work';
import type { LayeredExecutor } from '../../extension/core/runtime/layered-executor';

/** Minimum interval of recorded reports, in seconds. */
const interval = 0.5;
const recorded = ['report', 'onStage', 'onRound', 'onRefining', 'onBaseline'] as const;

/** Fields of a search's progress that are recorded. */
interface Recorded {
  readonly work: SearchWork;
  readonly options: SearchExecutors & { readonly secondsAfter?: unknown };
}

/**
 * Records work and time of a search as its progress sees them, for test/fixtures/search-traces, which replays them:
 * [call, argument, seconds, evaluations of the model, of its copy, bytes and seconds of opening sessions of the model, of its copy].
 */
export class SearchRecorder {
  private readonly events: unknown[] = [];
  private started: Extract<ProfileEvent, { kind: 'started' }> | undefined;
  private header: object = {};
  private begun = 0;
  private last = Number.NEGATIVE_INFINITY;

  public constructor() {
    const add = (call: string, argument: unknown, progress: Recorded): void => {
      this.add(call, argument, progress);
    };
    for (const call of recorded) {
      const prototype = SearchProgress.prototype as unknown as Record<
        string,
        (...given: unknown[]) => void
      >;
      const { [call]: original } = prototype;
      prototype[call] = function recordCall(this: Recorded, ...given: unknown[]): void {
        add(call, call === 'report' ? null : given[0], this);
        original?.apply(this, given);
      };
    }
  }

  public observe(event: ProfileEvent): void {
    if (event.kind === 'started') {
      this.started = event;
    }
  }

  /** Writes the trace after the job. */
  public write(file: string): void {
    if (this.started === undefined) {
      return;
    }
    const { model, settings, calibration } = this.started;
    const { sequences, length, tokens } = calibration;
    const { sublayers, vocabularySize, hiddenSize, blocks } = model;
    const trace = {
      ...{ settings, calibration: { sequences, length, tokens } },
      summary: {
        ...{ vocabularySize, hiddenSize, blocks },
        sublayers: sublayers.map(({ id, block, kind, parameters }) => ({
          ...{ id, block, kind, parameters },
        })),
      },
      ...this.header,
      seconds: performance.now() / 1000 - this.begun,
    };
    const events = this.events.map((event) => JSON.stringify(event)).join(',\n');
    writeFileSync(file, `${JSON.stringify(trace).slice(0, -1)},"events":[\n${events}\n]}\n`);
  }

  private add(call: string, argument: unknown, { work, options }: Recorded): void {
    const { executor, copy, secondsAfter } = options;
    const now = performance.now() / 1000;
    if (this.events.length === 0) {
      const room = (one: LayeredExecutor | undefined): object | undefined =>
        one && {
          streamedBytes: one.openedBytes(1, Number.POSITIVE_INFINITY),
          stateBytes: one.shares.stateBytes,
        };
      const { epilogue } = executor.model;
      this.header = {
        ...{ headBytes: epilogue.bytes, model: room(executor), copy: room(copy) },
        measuresPerplexity: secondsAfter !== undefined,
      };
      this.begun = now;
    }
    if (call === 'report' && now - this.last < interval) {
      return;
    }
    this.last = now;
    const opened = (one: LayeredExecutor | undefined): number[] =>
      one === undefined ? [0, 0] : [one.openings.bytes, rounded(one.openings.seconds)];
    const amounts = [work.cost - work.copy.cost, work.copy.cost].map(rounded);
    const time = rounded(now - this.begun);
    this.events.push([call, argument, time, ...amounts, ...opened(executor), ...opened(copy)]);
  }
}

const rounded = (value: number): number => Math.round(1000 * value) / 1000;

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { unattended } from '../../../extension/core/jobs/job';
import { perplexitySeconds } from '../../../extension/core/evaluate/perplexity-of-rounds';
import { TimeLeft } from '../../../extension/core/jobs/time-left';
import type { Openings } from '../../../extension/core/runtime/session-pool';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { SearchSettings } from '../../../extension/core/prune/options';
import type { SearchListener } from '../../../extension/core/prune/search-progress';
import { SearchProgress } from '../../../extension/core/prune/search-progress';
import type { SearchExecutors } from '../../../extension/core/prune/search-rates';
import { SearchWork } from '../../../extension/core/prune/search-work';

type Call = 'report' | Exclude<keyof SearchListener, 'onCosineLocal' | 'onCandidate'>;

interface Room {
  readonly streamedBytes: number;
  readonly stateBytes: number;
}

/** Trace of bench/sizes/record-search.ts. */
interface Trace {
  readonly settings: SearchSettings;
  readonly calibration: { sequences: number; length: number; tokens: number };
  readonly summary: LayeredModel['summary'];
  readonly headBytes: number;
  readonly model: Room;
  readonly copy?: Room;
  /** True if perplexity was measured after the search. */
  readonly measuresPerplexity: boolean;
  /** Duration of the job from its first event. */
  readonly seconds: number;
  readonly events: readonly (readonly [
    call: Call,
    argument: unknown,
    time: number,
    onModel: number,
    onCopy: number,
    modelBytes: number,
    modelSeconds: number,
    copyBytes: number,
    copySeconds: number,
  ])[];
}

/** Time and estimate of the remaining time of each report. */
type Estimates = readonly (readonly [time: number, left: number | undefined])[];

const folder = join(__dirname, '..', '..', 'fixtures', 'search-traces');
const traces = readdirSync(folder).map((file) => {
  const trace = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Trace;
  return [file.replace('.json', ''), trace] as const;
});
/** Largest factor by which the remaining time may be off, also if sessions are opened for each pass. */
const [mostError, mostStreamedError] = [1.25, 1.3];
/** Seconds of work before an estimate is judged. */
const enoughSeconds = 10;

/** Progress of a search with the work and the sessions of a trace. */
interface Replay {
  readonly progress: SearchProgress;
  readonly work: SearchWork;
  readonly openings: Record<'model' | 'copy', Openings>;
  readonly setTime: (seconds: number) => void;
}

/** @param estimates receives the estimate of each report */
function startReplay(trace: Trace, estimates: [number, number | undefined][]): Replay {
  let time = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => 1000 * time);
  const openings = {
    model: { sessions: 0, bytes: 0, seconds: 0 },
    copy: { sessions: 0, bytes: 0, seconds: 0 },
  };
  const { summary, headBytes, calibration, settings, measuresPerplexity } = trace;
  const model = {
    summary,
    epilogue: { bytes: headBytes },
    emitter: { vocabularySize: summary.vocabularySize, hiddenSize: summary.hiddenSize },
  } as unknown as LayeredModel;
  const executor = (name: 'model' | 'copy'): SearchExecutors['executor'] =>
    ({
      get openings() {
        return openings[name];
      },
      keepsSessions: (trace[name]?.streamedBytes ?? 0) === 0,
      openedBytes: (passes: number) => passes * (trace[name]?.streamedBytes ?? 0),
      shares: { stateBytes: trace[name]?.stateBytes },
      model,
    }) as unknown as SearchExecutors['executor'];
  const timeLeft = new TimeLeft();
  const work = new SearchWork(model);
  const progress = new SearchProgress(
    settings,
    model,
    work,
    calibration,
    {
      ...unattended,
      progress: (reported: StageProgress) => {
        estimates.push([time, timeLeft.update(reported, 1000 * time)]);
      },
    },
    {
      executor: executor('model'),
      copy: trace.copy && executor('copy'),
      secondsAfter: measuresPerplexity
        ? (original, pruned) => perplexitySeconds(model, original, pruned)
        : undefined,
    },
  );
  const setTime = (seconds: number): void => {
    time = seconds;
  };
  return { progress, work, openings, setTime };
}

/** Replays the events of a search with its times, slowed down by a factor. */
function replay(trace: Trace, slowdown: number): Estimates {
  const estimates: [number, number | undefined][] = [];
  const { progress, work, openings, setTime } = startReplay(trace, estimates);
  let [model0, copy0] = [0, 0];
  for (const [call, argument, seconds, onModel, onCopy, ...opened] of trace.events) {
    setTime(slowdown * seconds);
    work.addSublayers(onModel - model0);
    work.copy.addSublayers(onCopy - copy0);
    [model0, copy0] = [onModel, onCopy];
    const [modelBytes, modelSeconds, copyBytes, copySeconds] = opened;
    openings.model = { sessions: 0, bytes: modelBytes, seconds: slowdown * modelSeconds };
    openings.copy = { sessions: 0, bytes: copyBytes, seconds: slowdown * copySeconds };
    (progress[call] as (first: unknown, second: unknown) => void)(
      call === 'report' ? true : argument,
      call === 'onRefining' ? 0 : [],
    );
  }
  return estimates;
}

/** Factor by which the remaining time is off at a share of the job. */
function errorAt(share: number, estimates: Estimates, total: number): number {
  const now = share * total;
  const [then, left = Number.NaN] = estimates.findLast(([time]) => time <= now) ?? [0];
  const estimate = left - (now - then);
  const truth = total - now;
  return Math.max(estimate / truth, truth / estimate);
}

function missing(): never {
  throw new Error('there is no trace');
}

describe('the remaining time of a search', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each(traces)('is right during a recorded search: %s', (_, trace) => {
    for (const slowdown of [1, 3]) {
      // A slower machine measures perplexity on fewer windows than the recorded one, so only the search is replayed.
      const measuresPerplexity = trace.measuresPerplexity && slowdown === 1;
      const [, , searched = trace.seconds] = trace.events.at(-1) ?? [];
      const estimates = replay({ ...trace, measuresPerplexity }, slowdown);
      const total = measuresPerplexity ? trace.seconds : slowdown * searched;
      for (const share of [0.25, 0.5, 0.75].filter((one) => one * total >= enoughSeconds)) {
        const error = errorAt(share, estimates, total);
        const most = trace.copy?.streamedBytes === 0 ? mostError : mostStreamedError;
        expect.soft(error, `at ${share}, ${slowdown} times slower`).toBeLessThanOrEqual(most);
      }
    }
  });

  it('measures the seconds of the model itself apart from those of its copy', () => {
    const [trace] = traces.map(([, one]) => one);
    const { progress, work, setTime } = startReplay(trace ?? missing(), []);
    expect(progress.secondsPerEvaluation).toBeUndefined();
    for (let i = 1; i <= 10; i++) {
      setTime(4 * i - 1);
      work.addSublayers(10);
      progress.report(true);
      setTime(4 * i);
      work.copy.addSublayers(10);
      progress.report(true);
    }
    expect(progress.secondsPerEvaluation).toBeCloseTo(0.3);
  });
});

import { randomUUID } from 'node:crypto';
import type { Engine } from '../../../extension/core/distribute/work-item';
import { unattended } from '../../../extension/core/jobs/job';
import type { Cancellation } from '../../../extension/core/jobs/job';
import type { Message } from '../../../extension/core/message';
import type { ModelInput } from '../../../extension/core/models/model-input';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { metrics } from '../../../extension/core/metrics/metrics';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { SearchSettings } from '../../../extension/core/prune/options';
import type { ScorerSetup } from '../../../extension/core/prune/scorer';
import type { SearchListener } from '../../../extension/core/prune/search-progress';
import { search } from '../../../extension/core/prune/search';
import { shareSearch } from '../../../extension/core/prune/shards/share-search';
import type { SearchResult } from '../../../extension/core/prune/search';
import { SearchWork } from '../../../extension/core/prune/search-work';
import { SearchMemo } from '../../../extension/core/prune/search-memo';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';

export interface SearchRun {
  readonly folder: string;
  /** Token ids of texts, or examples of a model's inputs. */
  readonly sequences: readonly (readonly number[] | ModelInput)[];
  readonly texts?: readonly string[];
  readonly settings: Partial<SearchSettings>;
  readonly memoryBytes?: number;
  /** Made by the caller, who disposes of it; one of its own when absent. */
  readonly executor?: LayeredExecutor;
  /** Runs an int8 copy of the model on which candidates are compared; made by the caller. */
  readonly copy?: LayeredExecutor;
  readonly replayed?: readonly SearchRecord[];
  readonly onRecord?: (records: readonly SearchRecord[]) => void;
  readonly listener?: Partial<SearchListener>;
  /** Nobody stops it when absent. */
  readonly cancellation?: Cancellation;
  readonly isWritable?: (ids: readonly string[]) => Promise<boolean>;
  /** Engine that shares the work of the search. */
  readonly engine?: Engine;
  readonly warn?: (message: Message) => void;
}

/** Listener that ignores every event. */
const quiet: SearchListener = {
  onCosineLocal: () => undefined,
  onCandidate: () => undefined,
  onRound: () => undefined,
  onBaseline: () => undefined,
  onStage: () => undefined,
  onRefining: () => undefined,
};

/** Runs a search with everything around it made for the test. */
export async function runSearch(run: SearchRun): Promise<SearchResult> {
  const { engine, memoryBytes = 1 << 30 } = run;
  return withSetup(run, async (setup, settings) => {
    const searchWith = async (shared: ScorerSetup): Promise<SearchResult> =>
      search(settings, shared, { ...quiet, ...run.listener });
    if (engine === undefined) {
      return searchWith(setup);
    }
    const model = await openModelFiles(run.folder);
    const job = { engine, key: randomUUID(), model, memoryBytes };
    const warn = (message: Message): void => run.warn?.(message);
    return shareSearch(job, setup, { ...unattended, warn }, searchWith);
  });
}

/** Makes what a search works with, and disposes of it. */
export async function withSetup<T>(
  run: SearchRun,
  action: (setup: ScorerSetup, settings: SearchSettings) => Promise<T>,
): Promise<T> {
  const settings: SearchSettings = { ...defaultSettings, baselines: [], ...run.settings };
  const executor =
    run.executor ??
    new LayeredExecutor(await openModel(run.folder), 'cpu', run.memoryBytes ?? 1 << 30);
  const setup: ScorerSetup = {
    executor,
    copy: run.copy,
    sequences: run.sequences.map((one) => (isIds(one) ? Int32Array.from(one) : one)),
    texts: run.texts,
    metricName: settings.metric,
    metric: metrics[settings.metric],
    memo: new SearchMemo(run.replayed ?? [], (records) => {
      run.onRecord?.(records);
      return Promise.resolve();
    }),
    work: new SearchWork(executor.model),
    cancellation: run.cancellation ?? { isCancellationRequested: false },
    onWork: () => undefined,
    isWritable: run.isWritable,
  };
  try {
    return await action(setup, settings);
  } finally {
    if (run.executor === undefined) {
      await executor.dispose();
    }
  }
}

function isIds(one: readonly number[] | ModelInput): one is readonly number[] {
  return Array.isArray(one);
}

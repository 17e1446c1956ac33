import type { TaskJob } from '../../jobs/child-task';
import { say } from '../../message';
import type { ScoreDocument } from '../scores/score-document';
import { trainRun } from '../training/training-run';
import type { RunRequest } from '../training/training-run';
import { embed } from './embedding';
import { lastLayerFeatures } from './last-layer';
import type { Layout } from './issue-kinds';
import { createHash } from 'node:crypto';
import type { Dataset } from '../../data/datasets/dataset';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';

/** Minimum number of examples for nearest neighbors. */
const least = 3;

/** Options of an embedding. */
export interface EmbeddingRequest {
  /** By default, depends on the number of examples. */
  readonly layout?: Layout | undefined;
}

/**
 * Finds copies, and neighbors by the features of a model that a run has trained. Resumes the run from its checkpoint,
 * or repeats it if the checkpoint is on another machine.
 */
export async function embedExamples(
  run: RunRequest,
  checkpoint: string,
  { layout }: EmbeddingRequest,
  job: TaskJob,
): Promise<Pick<ScoreDocument, 'copies' | 'outlierScores' | 'embedding'>> {
  const { proxy, dataset, seed, steps } = run;
  const copies = await firstCopies(dataset, job.cancellation);
  if (dataset.size < least) {
    return { copies, outlierScores: [] };
  }
  const { trainer } = await trainRun(run, {
    cancellation: job.cancellation,
    checkpoint,
    step: (done) => {
      job.progress({ stage: say`Training proxies`, done, total: steps, unit: 'steps' });
    },
  });
  try {
    const { width, ...features } = await lastLayerFeatures({ proxy, dataset, trainer, seed }, job);
    const layer = `${width} features before the last layer of ${proxy.name}, seed ${seed}`;
    return { copies, ...(await embed(features, { layer, layout }, job)) };
  } finally {
    await trainer.dispose();
  }
}

/** Number of examples hashed between two cancellation checks. */
const atOnce = 1024;

/** Index of the first example with the same content for each example, regardless of labels. */
async function firstCopies(dataset: Dataset, cancellation: Cancellation): Promise<number[]> {
  const first = new Map<string, number>();
  const copies: number[] = [];
  for (let index = 0; index < dataset.size; index++) {
    if (index % atOnce === 0) {
      await checkpoint(cancellation);
    }
    const content = dataset.text?.(index) ?? new Uint8Array(dataset.features([index]).buffer);
    const key = createHash('sha1').update(content).digest('base64');
    const found = first.get(key) ?? index;
    first.set(key, found);
    copies.push(found);
  }
  return copies;
}

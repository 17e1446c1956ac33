import type { TaskJob } from '../../jobs/child-task';
import { say } from '../../message';
import type { ScoreDocument } from '../scores/score-document';
import { trainRun } from '../training/training-run';
import type { RunRequest } from '../training/training-run';
import { embed } from './embedding';
import type { Layout } from './issue-kinds';
import { createHash } from 'node:crypto';
import type { Dataset } from '../../data/datasets/dataset';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { seededRandom, standardNormal } from '../../data/random';
import type { Rows } from '../../linear-algebra/matrix-source';
import { createSession } from '../../runtime/session';
import { floatOutput } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';
import type { Trainer } from '../../training/trainer';
import type { ProxyModel } from '../training/proxy-model';
import { allExamples } from '../scores/predictions';

/** Minimum number of examples for nearest neighbors. */
const least = 3;

/** Options of an embedding. */
export interface EmbeddingRequest {
  /** By default, depends on the number of examples. */
  readonly layout?: Layout | undefined;
}

/** Maximum number of features per example. More are reduced by random projection (Johnson and Lindenstrauss 1984). */
const maxFeatures = 64;
/** Number of examples per run. */
const batchSize = 256;
const output = 'last_layer_features';

/** Matmul operators of a classification layer, and operators that may follow it. */
const products: ReadonlySet<string> = new Set(['Gemm', 'MatMul']);
const passThroughOps: ReadonlySet<string> = new Set([
  'Add',
  'Identity',
  'Softmax',
  'LogSoftmax',
  'Cast',
]);

/** Input of a classifier's last layer, or its logits if no layer with weights produces them. */
function beforeLastLayer(graph: GraphBuilder, logits: Value): Value {
  const made = new Map(graph.graph.node.flatMap((node) => node.output.map((name) => [name, node])));
  for (let value: Value | undefined = logits; value !== undefined;) {
    const node = made.get(value);
    if (node !== undefined && products.has(node.opType)) {
      return node.input[0] ?? logits;
    }
    value =
      node !== undefined && passThroughOps.has(node.opType)
        ? node.input.find((name) => made.has(name))
        : undefined;
  }
  return logits;
}

/** Model without its last layer: [batch, features], optionally randomly projected. */
function featureGraph(model: TrainableModel, projected?: Float32Array): GraphBuilder {
  const { graph, output: logits } = model.forward('evaluate');
  const features = graph.op('Flatten', [beforeLastLayer(graph, logits.value)], { axis: 1 });
  const value =
    projected === undefined
      ? features
      : graph.op('MatMul', [
          features,
          graph.floats(projected, [projected.length / maxFeatures, maxFeatures]),
        ]);
  graph.output(output, value, DataType.FLOAT, ['batch', 'features']);
  return graph;
}

/** Gaussian projection matrix, scaled to preserve expected distances. */
function projection(width: number): Float32Array {
  const random = seededRandom(width);
  const scale = 1 / Math.sqrt(maxFeatures);
  return Float32Array.from({ length: width * maxFeatures }, () => scale * standardNormal(random));
}

/**
 * Features of all examples before the last layer of a trained model, [examples, features], with at most 64 features.
 * @returns features, and the number of features before projection
 * @throws CancelledError between two batches
 */
async function lastLayerFeatures(
  { proxy, dataset, trainer, seed }: FeatureRequest,
  { cancellation, progress }: TaskJob,
): Promise<Rows & { readonly width: number }> {
  const model = proxy.untrained(seed);
  const open = async (graph: GraphBuilder): ReturnType<typeof createSession> =>
    createSession(graph, { device: 'cpu', prepack: true, keepMemory: true });
  const run = async (
    session: Awaited<ReturnType<typeof createSession>>,
    batch: Int32Array,
  ): Promise<Float32Array> => {
    const inputs = proxy.inputs(dataset, batch);
    const feeds = session.inputNames.map((name) => [name, inputs[name] ?? trainer.tensor(name)]);
    return floatOutput(await session.run(Object.fromEntries(feeds) as typeof inputs), output);
  };
  let session = await open(featureGraph(model));
  try {
    const width = (await run(session, Int32Array.of(0))).length;
    const length = Math.min(width, maxFeatures);
    if (width > maxFeatures) {
      const projecting = await open(featureGraph(model, projection(width)));
      await session.release();
      session = projecting;
    }
    const examples = allExamples(dataset.size);
    const numbers = new Float32Array(dataset.size * length);
    for (let start = 0; start < dataset.size; start += batchSize) {
      await checkpoint(cancellation);
      numbers.set(await run(session, examples.slice(start, start + batchSize)), start * length);
      const done = Math.min(dataset.size, start + batchSize);
      progress({
        stage: say`Embedding examples`,
        ...{ done, total: dataset.size, unit: 'examples' },
      });
    }
    return { count: dataset.size, length, numbers, width };
  } finally {
    await session.release();
  }
}

/** Dataset, and a model that was trained on it. */
interface FeatureRequest {
  readonly proxy: ProxyModel;
  readonly dataset: Dataset;
  readonly trainer: Trainer;
  readonly seed: number;
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

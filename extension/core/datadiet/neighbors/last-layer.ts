import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { seededRandom, standardNormal } from '../../data/random';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import { createSession } from '../../runtime/session';
import { floatOutput } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';
import type { Trainer } from '../../training/trainer';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import type { Dataset } from '../../data/datasets/dataset';
import type { ProxyModel } from '../training/proxy-model';
import { allExamples } from '../scores/predictions';

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
export async function lastLayerFeatures(
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
export interface FeatureRequest {
  readonly proxy: ProxyModel;
  readonly dataset: Dataset;
  readonly trainer: Trainer;
  readonly seed: number;
}

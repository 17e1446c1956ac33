import { seededRandom } from '../../data/random';
import { loadModelInputs } from '../../data/model-inputs';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import { say } from '../../message';
import type { LayeredModel } from '../../models/layered-model';
import type { EmbeddingOrHead } from '../../models/matrix-encoding';
import { idsIn } from '../../models/model-input';
import { streamWidth } from '../../models/model-emitter';
import { maySpin, withSessions } from '../../runtime/session';
import { floatOutput, floatTensor } from '../../runtime/tensors';
import { trainsAsWhole } from '../../tensornet/repair/repair-end-to-end';
import { textInputs } from '../../tensornet/repair/teacher-texts';
import { StatisticsAccumulator } from '../../tensornet/statistics/statistics-accumulator';
import type { InputStatistics } from '../../tensornet/statistics/statistics-accumulator';
import { fisherGraph, fisherValues } from '../../training/trainable-transformer';
import { UserError } from '../../user-error';
import type { RoundingCalibration } from '../compression/start-calibration';

/** Name of the token embedding in errors about its gradients. */
const embeddingName = 'token embedding';

/** The token embedding of a model whose LM head is another matrix, as a list of at most one. */
export function findEmbedding({
  embeddingAndHeadMatrices,
  emitter,
}: LayeredModel): readonly EmbeddingOrHead[] {
  const width = emitter === undefined ? undefined : streamWidth(emitter);
  const embeddings = embeddingAndHeadMatrices.filter(({ place }) => place === 'embedding');
  return embeddings.length > 1
    ? []
    : embeddings.filter((matrix) => matrix.tiedTo === undefined && matrix.in === width);
}

/**
 * Statistics for rounding the token embedding: those of the gradients with respect to the embedded tokens of the
 * calibration texts instead of inputs. Undefined if the model can't be differentiated, or a backward pass doesn't fit into
 * memory.
 */
export async function embeddingStatistics(
  model: LayeredModel,
  { request, bundledText, seed = 0 }: RoundingCalibration,
  { products, memoryBytes }: { readonly products: MatrixProducts; readonly memoryBytes: number },
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<InputStatistics | undefined> {
  const { inputs } = await loadModelInputs(request, model, bundledText, seed);
  const texts = inputs.flatMap((input) => idsIn(input) ?? []);
  const settings = { epochs: 1, batch: 1, patience: 0, rate: 0, seed };
  const size = { student: model, forms: new Map(), train: texts, settings, trained: 0 };
  if (texts.length < inputs.length || !trainsAsWhole({ ...size, mostSegments: 0 }, memoryBytes)) {
    return undefined;
  }
  const graph = differentiable(() => fisherGraph(model));
  if (graph === undefined) {
    return undefined;
  }
  const random = seededRandom(seed);
  const accumulator = new StatisticsAccumulator(products);
  const options = { device: 'cpu', prepack: true, spin: maySpin(), keepMemory: true } as const;
  const session = await withSessions(async (create) => create(graph, options));
  try {
    for (const [done, ids] of texts.entries()) {
      await checkpoint(context.cancellation);
      const stage = say`Measuring the sensitivity of the token embedding`;
      context.progress({ stage, unit: 'steps', done, total: texts.length, moreFollows: true });
      const { length } = ids;
      const draws = Float32Array.from(ids, () => random());
      const feeds = {
        ...textInputs(ids, length),
        [fisherValues.draws]: floatTensor(draws, [1, length, 1]),
      };
      const outputs = await session.run(
        Object.fromEntries(
          Object.entries(feeds).filter(([name]) => session.inputNames.includes(name)),
        ),
      );
      const gradients = floatOutput(outputs, fisherValues.gradients);
      const dims = [length, gradients.length / length];
      await accumulator.add(new Map([[embeddingName, floatTensor(gradients, dims)]]));
    }
  } finally {
    await session.release();
  }
  return (await accumulator.finish()).get(embeddingName);
}

/** Undefined if an operator has no gradient. */
function differentiable<Graph>(build: () => Graph): Graph | undefined {
  try {
    return build();
  } catch (error) {
    if (error instanceof UserError && error.code === 'gradient-unsupported') {
      return undefined;
    }
    throw error;
  }
}

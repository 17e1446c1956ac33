import type { ModelInput } from '../../models/model-input';
import type { LinearLayer, ModelMatrix } from '../../models/matrix-encoding';
import { describeFamily } from '../../models/gguf/family-description';
import { ggufTarget } from '../../models/gguf/gguf-target';
import type { LayeredModel } from '../../models/layered-model';
import type { OpenedModel } from '../../models/opened-model';
import type { WidthPruning } from '../../models/width-pruning/prune-width';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { AfterRun } from '../../runtime/layered-executor';
import type { DeviceName } from '../../runtime/device';
import { savedWalk, walk } from '../../runtime/states/walk';
import type { WalkedStep } from '../../runtime/states/walk';
import { floatsIn } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import * as v from 'valibot';
import type { JobContext } from '../../jobs/job';
import { nothingSaved } from '../../jobs/saved-parts';
import { UserError } from '../../user-error';
import type { Importance, InputSums } from './importance';
import { say } from '../../message';

/** Σ x² of each input of some matrices of one size, added up in float64 run by run. */
class Sums {
  private readonly sums: Float64Array;
  private readonly counts: number[];

  public constructor(
    private readonly size: number,
    matrices: number,
  ) {
    this.sums = new Float64Array(matrices * size);
    this.counts = Array.from({ length: matrices }, () => 0);
  }

  public add(matrix: number, rows: Float32Array): void {
    const { size, sums, counts } = this;
    const first = matrix * size;
    for (let start = 0; start < rows.length; start += size) {
      for (let i = 0; i < size; i++) {
        sums[first + i] = (sums[first + i] ?? 0) + (rows[start + i] ?? 0) ** 2;
      }
    }
    counts[matrix] = (counts[matrix] ?? 0) + rows.length / size;
  }

  public finish(): InputSums {
    return { sums: Float32Array.from(this.sums), counts: this.counts };
  }
}

/** Options of running inputs through a model. */
export interface SummingOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Stored in a journal; values are base64 float32. */
const storedSchema = v.object({ sums: v.string(), counts: v.array(v.number()) });
type Stored = v.InferOutput<typeof storedSchema>;

const sumsSchema = v.array(v.tuple([v.string(), storedSchema]));

/**
 * Σ x² of the inputs of a model's linear layers, by GGUF tensor name.
 * @throws UserError if the tensors have no GGUF names
 * @throws CancelledError
 */
export async function inputSums(
  opened: OpenedModel,
  inputs: readonly ModelInput[],
  options: SummingOptions,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
  saved = nothingSaved,
): Promise<ReadonlyMap<string, InputSums>> {
  const ggufPlaces = createGgufPlaceLookup(opened);
  const executor = new LayeredExecutor(opened.model, options.device, options.memoryBytes);
  try {
    const found = await walk(
      executor,
      inputs,
      {
        stage: say`Reading inputs of linear layers`,
        saved: savedWalk(saved, sumsSchema),
        step: async (index, states, afterRun) =>
          sumStep(executor, ggufPlaces, index, states, afterRun),
      },
      context,
    );
    return new Map(found.flat().map(([name, sums]) => [name, restored(sums)]));
  } finally {
    await executor.dispose();
  }
}

/** Runs states through a sublayer and sums the squares of its linear layers' inputs. */
async function sumStep(
  executor: LayeredExecutor,
  ggufPlaces: ReturnType<typeof createGgufPlaceLookup>,
  index: number,
  states: readonly HiddenState[],
  afterRun: AfterRun,
): Promise<WalkedStep<[string, Stored][]>> {
  const { model } = executor;
  const sums = new Map<string, Sums>();
  const layers = new Map(model.sublayer(index).linearLayers.map((layer) => [layer.id, layer]));
  const experts = 1 + Math.max(...[...layers.values()].map(({ expert }) => expert?.index ?? 0));
  const add = (id: string, rows: Tensor): void => {
    const layer = layers.get(id);
    for (const { name, expert } of layer === undefined ? [] : ggufPlaces(layer, experts)) {
      const known =
        sums.get(name) ?? new Sums(rows.dims.at(-1) ?? 1, expert === undefined ? 1 : experts);
      sums.set(name, known);
      known.add(expert ?? 0, floatsIn(rows));
    }
  };
  const behind = await executor.tap(
    model.sublayer(index).tapped,
    states,
    (taps) => {
      taps.forEach((rows, id) => {
        add(id, rows);
      });
      return Promise.resolve();
    },
    afterRun,
  );
  return {
    states: behind,
    found: [...sums].map(([name, sum]): [string, Stored] => [name, stored(sum.finish())]),
  };
}

const stored = ({ sums, counts }: InputSums): Stored => ({
  sums: Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength).toString('base64'),
  counts: [...counts],
});

const restored = ({ sums, counts }: Stored): InputSums => ({
  sums: new Float32Array(Uint8Array.from(Buffer.from(sums, 'base64')).buffer),
  counts,
});

/** GGUF tensor, with the expert's index if it stacks all experts. */
interface TensorPlace {
  readonly name: string;
  readonly expert?: number | undefined;
}

type PlacedMatrix = Pick<ModelMatrix, 'id' | 'weight'> & Pick<LinearLayer, 'expert'>;

/** Creates a function from a layer to its GGUF tensors. There are several if the layer is split by its outputs. */
export function createGgufPlaceLookup({
  family,
  headers,
  path,
  summary,
}: OpenedModel): (matrix: PlacedMatrix, experts: number) => readonly TensorPlace[] {
  if (headers.format === 'gguf') {
    return (layer) => [tensorPlace(layer)];
  }
  const description = describeFamily(family);
  const target = description && ggufTarget(description);
  if (target === undefined) {
    throw new UserError(
      'gguf-names-unknown',
      say`Layers of ${summary.architecture} models have no names in GGUF files.`,
      {
        file: path,
        remedy: say`Importance matrices are for models that can be written to GGUF files.`,
      },
    );
  }
  return (layer, experts) => {
    const { name, expert } = tensorPlace(layer);
    const { weight } = layer;
    const shape = expert === undefined ? weight.shape : [experts, ...weight.shape];
    const pieces = target.place(name, { ...weight, name, shape }) ?? [];
    return pieces.map((piece) => ({ name: piece.name, expert: piece.expert ?? expert }));
  };
}

/** Tensor of a layer, with the expert's index if the tensor stacks all experts. */
export function tensorPlace({ id, weight, expert }: PlacedMatrix): TensorPlace {
  return expert === undefined || weight.sliceOf === undefined
    ? { name: id }
    : { name: weight.sliceOf, expert: expert.index };
}

/** Importance of the inputs that remain after width pruning, measured on the original. */
export function withoutInputs(
  importance: Importance,
  opened: OpenedModel,
  widthPruning: WidthPruning,
): Importance {
  if (widthPruning.size === 0) {
    return importance;
  }
  const findPlaces = createGgufPlaceLookup(opened);
  const model: LayeredModel = opened.model;
  const remaining = new Map(importance);
  for (const [index, { id }] of model.summary.sublayers.entries()) {
    const channels = widthPruning.get(id);
    const { width, linearLayers } = model.sublayer(index);
    const output = linearLayers.find(({ weight }) => weight.name === width?.output.weight.name);
    const inputs = width?.tensors.find(({ tensor }) => tensor.name === output?.weight.name);
    for (const { name } of channels === undefined || output === undefined
      ? []
      : findPlaces(output, 1)) {
      const values = importance.get(name);
      if (values?.length === output?.in) {
        const places = inputs?.places(channels ?? []) ?? [];
        remaining.set(
          name,
          Float32Array.from(places, (place) => values?.[place] ?? 1),
        );
      }
    }
  }
  return remaining;
}

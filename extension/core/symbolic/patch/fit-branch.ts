import { seededRandom, shuffle } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { ridge } from '../../linear-algebra/ridge';
import type { RegressionData } from '../../linear-algebra/ridge';
import { relativeSquares, rootMeanSquare } from '../../linear-algebra/small-matrix';
import { floatsIn, floatTensor, floatOutput } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { lossInputs, meanSquaredError } from '../../training/losses';
import type { TrainableModel } from '../../training/trainable-model';
import { Trainer, tryStep } from '../../training/trainer';
import { contestantLayers } from './contestants';
import type { Contestant } from './contestants';
import { DataType } from '../../onnx/graph-builder';
import { createSession } from '../../runtime/session';
import { BuiltModel } from '../../training/built-model';
import { sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';

/** Rows of the residual stream, and the removed sublayer's output for each. */
export interface PatchData {
  readonly train: RegressionData;
  /** Data for selecting penalties, epochs and graphs. */
  readonly validation: RegressionData;
}

export interface PatchFitting {
  /** Number of epochs with Adam; the weights of the best epoch are kept. */
  readonly epochs: number;
  /** Rows per step. */
  readonly batch: number;
  /** Maximum learning rate of Adam; tries use fractions of it. */
  readonly rate: number;
}

export const defaultFitting: PatchFitting = { epochs: 30, batch: 64, rate: 1e-3 };

/** Errors of a fitted branch: ‖ŷ − y‖² / ‖y‖² on the validation rows, 1 for a branch that adds nothing. */
export interface FitRecord {
  readonly key: string;
  readonly parameters: number;
  /** Error with the last layer in closed form and the initial values of the others. */
  readonly ridgeError: number;
  /** Error after Adam, at its best epoch. */
  readonly error: number;
}

/** Trained replacement of a sublayer, with its errors. */
export interface FittedBranch {
  readonly record: FitRecord;
  readonly tensors: Tensors;
}

/**
 * Fits a contestant to a removed sublayer's output: the last layer by ridge regression, then all layers by Adam if
 * there is more than one. Uses one thread, so data and seed determine the result.
 * @param begin called with the index of each epoch, from 0
 */
export async function fitBranch(
  contestant: Contestant,
  { train, validation }: PatchData,
  { epochs, batch, rate }: PatchFitting,
  products: MatrixProducts,
  cancellation: Cancellation,
  begin: (epoch: number) => void = () => undefined,
): Promise<FittedBranch> {
  const pause = async (): Promise<void> => checkpoint(cancellation);
  const { length: hiddenSize } = train.features;
  // Not 0, since values are divided by it.
  const scale = rootMeanSquare(train.targets.numbers) || 1;
  const scaled = { train: divided(train, scale), validation: divided(validation, scale) };
  const { model, start } = await startingPoint(contestant, scaled, products, pause);
  const before = await runBranch(model, start, validation.features, pause);
  const ridgeError = relativeSquares(before.numbers, scaled.validation.targets.numbers);
  const parameters = model.parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const { key, kind, seed, rateShare } = contestant;
  const done = (error: number, tensors: Tensors): FittedBranch => ({
    record: { key, parameters, ridgeError, error },
    tensors: withScale(tensors, scale),
  });
  if (kind === 'ridge') {
    return done(ridgeError, start);
  }
  const trainer = await Trainer.create(startingFrom(model, start), {
    loss: meanSquaredError,
    optimizer: { kind: 'adam' },
    learningRate: {
      rate: rate * rateShare,
      schedule: {
        kind: 'cosine',
        steps: epochs * Math.ceil(train.features.count / batch),
      },
    },
    clipNorm: 1,
    seed,
    threads: 1,
  });
  try {
    let best: { error: number; tensors: Tensors } = { error: ridgeError, tensors: start };
    const random = seededRandom(seed);
    for (let epoch = 0; epoch < epochs; epoch++) {
      begin(epoch);
      const order = shuffle([...Array(train.features.count).keys()], random);
      for (let first = 0; first < order.length; first += batch) {
        const rows = order.slice(first, first + batch);
        const isFinite = await tryStep(trainer, {
          [branchInput]: gathered(scaled.train.features, rows, hiddenSize),
          [lossInputs.targets]: gathered(scaled.train.targets, rows, hiddenSize),
        });
        if (!isFinite) {
          return done(best.error, best.tensors);
        }
        await pause();
      }
      const tensors = Object.fromEntries(
        model.parameters.map(({ name, shape }) => [
          name,
          floatTensor(Float32Array.from(floatsIn(trainer.tensor(name))), shape),
        ]),
      );
      const found = await runBranch(model, tensors, validation.features, pause);
      const error = relativeSquares(found.numbers, scaled.validation.targets.numbers);
      best = error < best.error ? { error, tensors } : best;
    }
    return done(best.error, best.tensors);
  } finally {
    await trainer.dispose();
  }
}

/**
 * Initializes the branch: standardizes the outputs of its first layer to mean 0 and variance 1, and fits its last layer
 * in closed form.
 */
async function startingPoint(
  contestant: Contestant,
  { train, validation }: PatchData,
  products: MatrixProducts,
  pause: () => Promise<void>,
): Promise<{ model: BuiltModel; start: Tensors }> {
  const hiddenSize = train.features.length;
  const layers = contestantLayers(contestant, hiddenSize);
  const inner = Object.fromEntries(Object.entries(layers).filter(([name]) => name !== 'up'));
  const model = branchModel(layers, hiddenSize, contestant.seed);
  let start: Tensors = await model.initial();
  const features = { train: train.features, validation: validation.features };
  if (inner['down'] !== undefined) {
    const down = branchModel({ down: inner['down'] }, hiddenSize, contestant.seed);
    start = standardized(start, await runBranch(down, start, train.features, pause));
    const front = branchModel(inner, hiddenSize, contestant.seed);
    features.train = await runBranch(front, start, train.features, pause);
    features.validation = await runBranch(front, start, validation.features, pause);
  }
  const { weight, bias } = await ridge(
    products,
    { features: features.train, targets: train.targets },
    { features: features.validation, targets: validation.targets },
    pause,
  );
  const width = features.train.length;
  return {
    model,
    start: {
      ...start,
      'up.weight': floatTensor(weight, [hiddenSize, width]),
      'up.bias': floatTensor(bias, [hiddenSize]),
    },
  };
}

/** Scales the first layer so that each output has mean 0 and variance 1 over these rows. */
function standardized(tensors: Tensors, { count, length, numbers }: Rows): Tensors {
  const { 'down.weight': weight, 'down.bias': bias } = tensors;
  if (weight === undefined || bias === undefined) {
    throw new Error('a branch begins with a layer named down');
  }
  const [rows, offsets] = [Float32Array.from(floatsIn(weight)), Float32Array.from(floatsIn(bias))];
  const width = rows.length / length;
  for (let unit = 0; unit < length; unit++) {
    let [sum, squares] = [0, 0];
    for (let row = 0; row < count; row++) {
      const x = numbers[row * length + unit] ?? 0;
      sum += x;
      squares += x * x;
    }
    const mean = sum / count;
    const deviation = Math.sqrt(Math.max(squares / count - mean * mean, Number.EPSILON));
    for (let i = unit * width; i < (unit + 1) * width; i++) {
      rows[i] = (rows[i] ?? 0) / deviation;
    }
    offsets[unit] = ((offsets[unit] ?? 0) - mean) / deviation;
  }
  return {
    ...tensors,
    'down.weight': floatTensor(rows, weight.dims),
    'down.bias': floatTensor(offsets, bias.dims),
  };
}

/** The model with other initial values. */
function startingFrom(model: BuiltModel, start: Tensors): TrainableModel {
  return {
    parameters: model.parameters,
    buffers: model.buffers,
    inputs: model.inputs,
    forward: (mode) => model.forward(mode),
    // Copies, since training writes to the tensors that it is given.
    initial: () =>
      Promise.resolve(
        Object.fromEntries(
          Object.entries(start).map(([name, tensor]) => [
            name,
            floatTensor(Float32Array.from(floatsIn(tensor)), tensor.dims),
          ]),
        ),
      ),
  };
}

/** Converts the last layer from the scaled to the original targets. */
function withScale(tensors: Tensors, scale: number): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      name.startsWith('up.')
        ? floatTensor(
            floatsIn(tensor).map((x) => x * scale),
            tensor.dims,
          )
        : tensor,
    ]),
  );
}

function divided({ features, targets }: RegressionData, scale: number): RegressionData {
  return {
    features,
    targets: { ...targets, numbers: targets.numbers.map((y) => y / scale) },
  };
}

function gathered({ length, numbers }: Rows, rows: readonly number[], width: number) {
  const batch = new Float32Array(rows.length * length);
  rows.forEach((row, i) => {
    batch.set(numbers.subarray(row * length, (row + 1) * length), i * length);
  });
  return floatTensor(batch, [rows.length, width]);
}

/** Input name of a branch, float32 [rows, hidden]. */
const branchInput = 'stream';
const output = 'branch';
/** Rows per run. */
const rowsPerRun = 1 << 12;

/** Model of layers on rows of the residual stream; parameters are initialized from a seed and their names. */
export function branchModel(
  layers: Readonly<Record<string, Layer>>,
  hiddenSize: number,
  seed: number,
): BuiltModel {
  return new BuiltModel(
    { name: branchInput, shape: ['rows', hiddenSize] },
    sequential(layers),
    seed,
  );
}

/** Runs layers on rows of the residual stream. */
export async function runBranch(
  model: BuiltModel,
  tensors: Tensors,
  rows: Rows,
  afterRun: () => Promise<void>,
): Promise<Rows> {
  const { graph, output: given } = model.forward('evaluate');
  graph.output(output, given.value, DataType.FLOAT, given.shape);
  const length = given.shape.at(-1);
  if (typeof length !== 'number') {
    throw new Error('a branch gives rows of a known length');
  }
  const session = await createSession(graph, {
    device: 'cpu',
    prepack: true,
    spin: false,
    threads: 1,
  });
  try {
    const own = Object.fromEntries(
      model.parameters.flatMap(({ name }) => {
        const tensor = tensors[name];
        return tensor === undefined ? [] : [[name, tensor]];
      }),
    );
    const numbers = new Float32Array(rows.count * length);
    for (let start = 0; start < rows.count; start += rowsPerRun) {
      const count = Math.min(rowsPerRun, rows.count - start);
      const part = rows.numbers.subarray(start * rows.length, (start + count) * rows.length);
      const feeds = { ...own, [branchInput]: floatTensor(part, [count, rows.length]) };
      numbers.set(floatOutput(await session.run(feeds), output), start * length);
      await afterRun();
    }
    return { count: rows.count, length, numbers };
  } finally {
    await session.release();
  }
}

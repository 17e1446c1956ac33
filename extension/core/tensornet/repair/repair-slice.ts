import { seededRandom, shuffle } from '../../data/random';
import type { Random } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { relativeSquares } from '../../linear-algebra/small-matrix';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { stream, streamWidth } from '../../models/model-emitter';
import type { ModelEmitter, Values } from '../../models/model-emitter';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import { floatsIn, join } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { GraphModel } from '../../training/graph-model';
import { lossInputs, relativeSquaredError } from '../../training/losses';
import { Trainer, tryStep } from '../../training/trainer';
import { graphSlice } from './graph-slice';
import type { RepairSettings } from './repair-settings';
import type { SliceData, SlicePair } from './graph-slice';
import { smallestScale } from './trained-forms';
import { differentiable, hasWholeNumbers, trainedTensors } from './trainable-encoding';

/**
 * Relative learning rate of scales; lower, because a scale changes all values of its block
 * (bench/compactifai/NOTES.md).
 */
const scaleRate = 1 / 3;

/** Result of training a slice. */
export interface RepairedSlice {
  /** New values of the trained tensors, by name; undefined if none were better. */
  readonly numbers: ReadonlyMap<string, Float32Array> | undefined;
  /** Mean of ‖ŷ − y‖² / ‖y‖² over the tokens of held-out states. */
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  /** True if training ended with values that aren't finite. */
  readonly diverged: boolean;
}

/**
 * Trains the encodings of one sublayer so that the residual stream after it matches the teacher's (slice-wise
 * distillation); everything else is frozen. Returns the values with the lowest held-out error.
 * @param threads of its sessions; one per core by default
 * @throws UserError if an operator has no gradient
 */
export async function repairSlice(
  model: LayeredModel,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
  given: SlicePair,
  settings: RepairSettings,
  cancellation: Cancellation,
  threads?: number,
): Promise<RepairedSlice> {
  const {
    model: trainable,
    loss,
    data,
  } = model.emitter === undefined
    ? graphSlice(model, index, forms, given)
    : { model: sliceModel(model, index, forms), loss: relativeSquaredError, data: given };
  const names = trainable.parameters.map(({ name }) => name);
  const unit = [...forms.values()].some(hasWholeNumbers) ? scaleRate : 1;
  const smallest = await smallestScale(trainable);
  const stepsPerEpoch = [...batches(data.train, settings.batch)].length;
  const trainer = await Trainer.create(trainable, {
    loss,
    optimizer: { kind: 'adam' },
    learningRate: {
      rate: settings.rate * unit * smallest,
      schedule: { kind: 'cosine', steps: settings.epochs * stepsPerEpoch },
    },
    clipNorm: 1,
    seed: settings.seed,
    keepReshapes: model.emitter === undefined,
    ...(threads === undefined ? {} : { threads }),
  });
  try {
    const errorBefore = await meanError(trainer, data.heldOut, settings.batch, cancellation);
    let best: { error: number; numbers?: ReadonlyMap<string, Float32Array> } = {
      error: errorBefore,
    };
    const random = seededRandom(settings.seed);
    let epochs = 0;
    let diverged = false;
    for (let bad = 0; epochs < settings.epochs && bad < settings.patience; epochs++) {
      if (!(await trainOnce(trainer, shuffled(data.train, random), settings.batch, cancellation))) {
        diverged = true;
        break;
      }
      const error = await meanError(trainer, data.heldOut, settings.batch, cancellation);
      if (!Number.isFinite(error)) {
        diverged = true;
        break;
      }
      if (error < best.error) {
        const numbers = new Map(
          names.map((name) => [name, Float32Array.from(floatsIn(trainer.tensor(name)))] as const),
        );
        best = { error, numbers };
        bad = 0;
      } else {
        bad++;
      }
    }
    return { numbers: best.numbers, errorBefore, errorAfter: best.error, epochs, diverged };
  } finally {
    await trainer.dispose();
  }
}

/** Trains one epoch; returns false if the loss isn't finite, after which training can't continue. */
async function trainOnce(
  trainer: Trainer,
  data: SliceData,
  size: number,
  cancellation: Cancellation,
): Promise<boolean> {
  for (const batch of batches(data, size)) {
    if (!(await tryStep(trainer, joinFeeds(batch)))) {
      return false;
    }
    await checkpoint(cancellation);
  }
  return true;
}

/** One sublayer as a model whose parameters are the tensors of its encodings. */
function sliceModel(
  model: LayeredModel,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
): GraphModel {
  const changed = new Map([...forms].map(([id, form]) => [id, differentiable(form)] as const));
  const emitter = model.withMatrices(changed).emitter ?? notEmitted();
  const graph = new GraphBuilder(`slice.${index}`);
  const shape = ['batch', 'sequence', streamWidth(emitter)];
  const state = nameValues(emitter.stateNames(index), (name) =>
    graph.input(name, DataType.FLOAT, shape),
  );
  const { [stream]: next = '' } = emitter.emitSublayer(
    graph,
    index,
    state,
    sideInputs(graph, emitter, index),
  );
  const trained = new Set([...forms.values()].flatMap(trainedTensors).map(({ name }) => name));
  const { node, input, initializer } = graph.graph;
  const external = graph.externalData;
  const externalNames = new Set(external.map(({ name }) => name));
  return new GraphModel(
    {
      nodes: node,
      inputs: input,
      outputs: [],
      constants: initializer.filter(({ name }) => !externalNames.has(name)),
      weights: external,
      opsets: graph.opsetImports,
    },
    external
      .filter(({ name }) => trained.has(name))
      .map(({ name, shape: size }) => ({ name, shape: size, isBuffer: false })),
    { value: next, shape },
  );
}

function sideInputs(graph: GraphBuilder, emitter: ModelEmitter, index: number): Values {
  return nameValues(emitter.sidesOf(index), (name) =>
    graph.input(
      name,
      DataType.FLOAT,
      emitter.sideValues.find((side) => side.name === name)?.shape ?? [],
    ),
  );
}

function nameValues(names: readonly string[], make: (name: string) => string): Values {
  return Object.fromEntries(names.map((name) => [name, make(name)]));
}

/** Mean of ‖ŷ − y‖² / ‖y‖² over the tokens of all data. */
async function meanError(
  trainer: Trainer,
  data: SliceData,
  size: number,
  cancellation: Cancellation,
): Promise<number> {
  let [sum, tokens] = [0, 0];
  for (const batch of batches(data, size)) {
    const feeds = joinFeeds(batch);
    const found = floatsIn(await trainer.evaluate(feeds));
    const targets = feeds[lossInputs.targets] ?? notEmitted();
    const wanted = floatsIn(targets);
    const width = targets.dims.at(-1) ?? 1;
    for (let start = 0; start < wanted.length; start += width) {
      const end = start + width;
      sum += relativeSquares(found.subarray(start, end), wanted.subarray(start, end));
      tokens++;
    }
    await checkpoint(cancellation);
  }
  return sum / Math.max(1, tokens);
}

/** Splits into batches of up to `size` sequences of one length. */
function* batches({ inputs, targets }: SliceData, size: number): Generator<SliceData> {
  let start = 0;
  while (start < inputs.length) {
    let end = start + 1;
    while (end < inputs.length && end < start + size && inputs[end]?.side === inputs[start]?.side) {
      end++;
    }
    yield { inputs: inputs.slice(start, end), targets: targets.slice(start, end) };
    start = end;
  }
}

function joinFeeds({ inputs, targets }: SliceData): Tensors {
  const [first] = inputs;
  const values = Object.keys(first?.values ?? {}).map(
    (name) => [name, join(inputs.flatMap(({ values: own }) => own[name] ?? []))] as const,
  );
  return {
    ...first?.side,
    ...Object.fromEntries(values),
    [lossInputs.targets]: join(targets),
  };
}

function shuffled({ inputs, targets }: SliceData, random: Random): SliceData {
  const order = shuffle([...inputs.keys()], random);
  return {
    inputs: order.flatMap((i) => inputs[i] ?? []),
    targets: order.flatMap((i) => targets[i] ?? []),
  };
}

function notEmitted(): never {
  throw new Error('only models that emit themselves are repaired');
}

import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import type { ModelInput } from '../../../../extension/core/models/model-input';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import type { LayeredModel, TappedStep } from '../../../../extension/core/models/layered-model';
import type {
  LinearLayer,
  MatrixEncoding,
} from '../../../../extension/core/models/matrix-encoding';
import { emitWeight } from '../../../../extension/core/models/parts/weight';
import { DataType, GraphBuilder } from '../../../../extension/core/onnx/graph-builder';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import { createSession } from '../../../../extension/core/runtime/session';
import type { SessionOptions } from '../../../../extension/core/runtime/session';
import {
  floatsIn,
  floatOutput,
  floatTensor,
  outputTensor,
} from '../../../../extension/core/runtime/tensors';
import type { HiddenState, Tensors } from '../../../../extension/core/runtime/tensors';
import { factorize } from '../../../../extension/core/tensornet/mpo';
import { FormMaker } from './made-forms';

const memoryBytes = 1 << 30;

/** The model's output for each input, one after the other, without the sublayers and experts of `removed`. */
export async function computeOutputs(
  model: LayeredModel,
  inputs: readonly ModelInput[],
  removed: readonly string[] = [],
  sessions: Pick<SessionOptions, 'asItStands'> = {},
): Promise<Float32Array> {
  const executor = new LayeredExecutor(model, 'cpu', memoryBytes, sessions);
  const units = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
  try {
    const numbers: number[] = [];
    for (const input of inputs) {
      let state = await executor.embed(input);
      for (const index of model.summary.sublayers.keys()) {
        [state = state] = await executor.pass(index, [state], units);
      }
      numbers.push(...floatsIn(await executor.output(state)));
    }
    return Float32Array.from(numbers);
  } finally {
    await executor.dispose();
  }
}

/** The same by the operators as they are emitted, which ONNX Runtime joins otherwise. */
export async function emittedOutputs(
  model: LayeredModel,
  inputs: readonly ModelInput[],
): Promise<Float32Array> {
  return computeOutputs(model, inputs, [], { asItStands: true });
}

/** Output of a model for an input. */
export interface Walked {
  /** Before each sublayer, and after the last. */
  readonly states: readonly HiddenState[];
  readonly output: Float32Array;
}

export async function walked(model: LayeredModel, input: ModelInput): Promise<Walked> {
  const executor = new LayeredExecutor(model, 'cpu', memoryBytes);
  try {
    let state = await executor.embed(input);
    const states = [state];
    for (const index of model.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
      states.push(state);
    }
    return { states, output: Float32Array.from(floatsIn(await executor.output(state))) };
  } finally {
    await executor.dispose();
  }
}

/** States before each sublayer, and after the last. */
export async function readStates(
  model: LayeredModel,
  input: ModelInput,
): Promise<readonly HiddenState[]> {
  return (await walked(model, input)).states;
}

export interface Tapped {
  /** Outputs of the step besides the taps. */
  readonly outputs: Tensors;
  /** Inputs of each linear layer, [rows, in]. */
  readonly rows: ReadonlyMap<string, Float32Array>;
}

/** Runs a tapped step on a state. */
export async function runTapped(
  { part, taps, mask }: TappedStep,
  { values, side }: HiddenState,
): Promise<Tapped> {
  const known: Tensors = {
    ...side,
    ...values,
    ...(mask && { [mask.input]: floatTensor(new Float32Array(mask.count), [1, mask.count]) }),
  };
  const session = await createSession(part.build(), { device: 'cpu', prepack: false });
  try {
    const feeds = Object.entries(known).filter(([name]) => part.inputs.includes(name));
    const all = await session.run(Object.fromEntries(feeds));
    const outputs = Object.fromEntries(part.outputs.map((name) => [name, outputTensor(all, name)]));
    const rows = [...taps].map(([id, name]): [string, Float32Array] => [
      id,
      floatsIn(outputTensor(all, name)),
    ]);
    return { outputs, rows: new Map(rows) };
  } finally {
    await session.release();
  }
}

/** All linear layers of a model. */
export function listLayers(model: LayeredModel): LinearLayer[] {
  return model.summary.sublayers.flatMap((_, index) => [...model.sublayer(index).linearLayers]);
}

/** The weights of layers as they are used, each float32 [out, in]; read by one graph. */
export async function readWeights(layers: readonly LinearLayer[]): Promise<Float32Array[]> {
  const graph = new GraphBuilder('weights');
  layers.forEach(({ weight, transposed, out, in: input }, i) => {
    const stored = emitWeight(graph, weight);
    const used = transposed ? graph.op('Transpose', [stored], { perm: [1, 0] }) : stored;
    graph.output(`weight.${i}`, used, DataType.FLOAT, [out, input]);
  });
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const outputs = await session.run({});
  await session.release();
  return layers.map((_, i) => floatOutput(outputs, `weight.${i}`));
}

/** Every layer's own weight in float32. */
export async function denseForms(
  layers: readonly LinearLayer[],
): Promise<Map<string, MatrixEncoding<TensorData>>> {
  const weights = await readWeights(layers);
  return new Map(
    layers.map((layer, i) => [layer.id, denseForm(weights[i] ?? new Float32Array(), layer)]),
  );
}

export function denseForm(
  numbers: Float32Array,
  { out, in: input }: Pick<LinearLayer, 'out' | 'in'>,
): MatrixEncoding<TensorData> {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  return { kind: 'dense', weight: { dtype: 'F32', shape: [out, input], bytes } };
}

/** The model with forms that are in memory. */
export async function withEncodings(
  model: LayeredModel,
  file: string,
  forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
): Promise<LayeredModel> {
  return model.withMatrices(await storeEncodings(file, forms));
}

const listSites = ({ out, in: input }: LinearLayer, number: number) => ({
  out: factorize(out, number),
  in: factorize(input, number),
});

type Maker = (layer: LinearLayer) => MatrixEncoding<TensorData>;

function inSequence(
  layers: readonly LinearLayer[],
  kinds: readonly [Maker, ...Maker[]],
): Map<string, MatrixEncoding<TensorData>> {
  return new Map(
    layers.map((layer, i) => [layer.id, (kinds[i % kinds.length] ?? kinds[0])(layer)]),
  );
}

/** A form of floats for each layer, all kinds in turn. */
export function floatForms(
  layers: readonly LinearLayer[],
): Map<string, MatrixEncoding<TensorData>> {
  const make = new FormMaker(7, 0.05);
  return inSequence(layers, [
    ({ out, in: input }) => make.lowRank(out, input, 3),
    (layer) => make.mpo(listSites(layer, 2), 3, 'contracted', true),
    (layer) => make.mpo(listSites(layer, 3), 2, 'chained', true),
    ({ out, in: input }) => make.dense(out, input),
    (layer) => make.mpo(listSites(layer, 2), 2, 'chained'),
  ]);
}

/** A form of few bits for each layer, all kinds in turn; with standard operators alone where asked for. */
export function quantizedForms(
  layers: readonly LinearLayer[],
  standard = false,
): Map<string, MatrixEncoding<TensorData>> {
  const make = new FormMaker(8, 0.05);
  const run = standard ? 'qdq' : 'matmul-nbits';
  const blocks = { groupSize: 16, bits: 4, run } as const;
  return inSequence(layers, [
    ({ out, in: input }) => make.blocks(out, input, blocks),
    ({ out, in: input }) => make.blocks(out, input, { ...blocks, asymmetric: true }),
    ({ out, in: input }) => make.int8(out, input),
    ({ out, in: input }) => make.blocks(out, input, { ...blocks, bits: 8, asymmetric: true }),
    ({ out, in: input }) => ({
      kind: 'low-rank',
      rank: 16,
      left: make.blocks(out, 16, blocks),
      right: make.int8(16, input),
    }),
  ]);
}

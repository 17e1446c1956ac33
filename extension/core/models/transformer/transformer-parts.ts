import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { ExpertMask, GraphPart, InputPort, LayeredModel } from '../layered-model';
import type { BuilderPart, RunningCosts } from './tapped-part';
import { stream } from '../model-emitter';
import type { ModelEmitter, Values } from '../model-emitter';

/** A model, and the side values that are needed where a sublayer is skipped. */
type EmittedModel = LayeredModel &
  ModelEmitter & { skippedSidesOf(index: number): readonly string[] };

/** The stream behind a sublayer: an input and an output of a graph cannot share a name. */
export const nextStream = 'next';

/** Input by which experts are left out. */
export const expertMask = 'experts';

const rows = ['batch', 'sequence'];

/** Inputs of a language model: token ids, which of them count, and their positions. */
export const tokenInputs: readonly InputPort[] = [
  'input_ids',
  'attention_mask',
  'position_ids',
].map((name) => ({ name, dtype: 'I64', shape: rows }));

/** Embedding and side values, run at these costs. */
export function prologuePart(model: EmittedModel, costs: RunningCosts): GraphPart {
  return {
    key: 'prologue',
    ...costs,
    inputs: tokenInputs.map(({ name }) => name),
    outputs: [stream, ...model.sideNames],
    build: () => {
      const graph = new GraphBuilder('prologue');
      const [inputIds = '', attentionMask = '', positionIds = ''] = tokenInputs.map(({ name }) =>
        graph.input(name, DataType.INT64, rows),
      );
      const { state, side } = model.emitPrologue(graph, { inputIds, attentionMask, positionIds });
      outputStream(graph, model, stream, state);
      for (const { name, shape } of model.sideValues) {
        graph.output(name, side[name] ?? missing(name), DataType.FLOAT, shape);
      }
      return graph;
    },
  };
}

/** One sublayer, run at these costs: the stream behind it. */
export function sublayerPart(
  model: EmittedModel,
  index: number,
  mask: ExpertMask | undefined,
  costs: RunningCosts,
): BuilderPart {
  const id = model.summary.sublayers[index]?.id ?? String(index);
  const stateNames = model.stateNames(index);
  const sides = model.sidesOf(index);
  return {
    key: id,
    ...costs,
    inputs: [...stateNames, ...sides, ...(mask === undefined ? [] : [mask.input])],
    outputs: [nextStream],
    build: () => {
      const graph = new GraphBuilder(id);
      for (const name of stateNames) {
        graph.input(name, DataType.FLOAT, [...rows, model.hiddenSize]);
      }
      sideInputs(graph, model, sides);
      const masked =
        mask === undefined
          ? {}
          : { expertMask: graph.input(mask.input, DataType.FLOAT, ['batch', mask.count]) };
      const state = model.emitSublayer(graph, index, byName(stateNames), byName(sides), masked);
      outputStream(graph, model, nextStream, state);
      return graph;
    },
  };
}

/** What is left of a sublayer that is skipped, run at these costs: the stream behind its norms and its block's end. */
export function skippedPart(model: EmittedModel, index: number, costs: RunningCosts): BuilderPart {
  const key = `${model.summary.sublayers[index]?.id ?? String(index)}.skipped`;
  const sides = model.skippedSidesOf(index);
  return {
    key,
    ...costs,
    inputs: [stream, ...sides],
    outputs: [nextStream],
    build: () => {
      const graph = new GraphBuilder(key);
      graph.input(stream, DataType.FLOAT, [...rows, model.hiddenSize]);
      sideInputs(graph, model, sides);
      const state = model.emitSkipped(graph, index, byName([stream]), byName(sides));
      outputStream(graph, model, nextStream, state);
      return graph;
    },
  };
}

/** Final norm and head, run at these costs. */
export function epiloguePart(model: EmittedModel, costs: RunningCosts): GraphPart {
  return {
    key: 'epilogue',
    ...costs,
    inputs: [stream],
    outputs: ['logits'],
    build: () => {
      const graph = new GraphBuilder('epilogue');
      const hidden = graph.input(stream, DataType.FLOAT, [...rows, model.hiddenSize]);
      const shape = [...rows, model.vocabularySize];
      graph.output('logits', model.emitEpilogue(graph, hidden), DataType.FLOAT, shape);
      return graph;
    },
  };
}

function sideInputs(graph: GraphBuilder, model: EmittedModel, names: readonly string[]): void {
  for (const { name, shape } of model.sideValues) {
    if (names.includes(name)) {
      graph.input(name, DataType.FLOAT, shape);
    }
  }
}

function outputStream(
  graph: GraphBuilder,
  model: EmittedModel,
  name: string,
  { [stream]: hidden = missing(name) }: Values,
): void {
  graph.output(name, hidden, DataType.FLOAT, [...rows, model.hiddenSize]);
}

function byName(names: readonly string[]): Values {
  return Object.fromEntries(names.map((name) => [name, name]));
}

function missing(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}

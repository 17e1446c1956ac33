import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { Value } from '../../onnx/graph-builder';
import type { ExpertMask, GraphPart, InputPort, LayeredModel } from '../layered-model';
import type { BuilderPart, RunningCosts } from './tapped-part';
import { stream, streamWidth } from '../model-emitter';
import type { ModelEmitter, Values } from '../model-emitter';
import { endSides } from '../parts/block-end';
import { expectedBefore, givenAt, outputName } from './carried-streams';
import type { TransformerLayout } from './transformer-layout';

/** A model and what it is laid out from. */
type EmittedModel = LayeredModel & ModelEmitter & { readonly layout: TransformerLayout };

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
    outputs: [stream, ...givenNames(model, 0), ...model.sideNames],
    build: () => {
      const graph = new GraphBuilder('prologue');
      const [inputIds = '', attentionMask = '', positionIds = ''] = tokenInputs.map(({ name }) =>
        graph.input(name, DataType.INT64, rows),
      );
      const { state, side } = model.emitPrologue(graph, { inputIds, attentionMask, positionIds });
      outputStreams(graph, model, stream, state, 0);
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
    outputs: [nextStream, ...givenNames(model, index + 1)],
    build: () => {
      const graph = new GraphBuilder(id);
      for (const name of stateNames) {
        graph.input(name, DataType.FLOAT, [...rows, streamWidth(model)]);
      }
      sideInputs(graph, model, sides);
      const masked =
        mask === undefined
          ? {}
          : { expertMask: graph.input(mask.input, DataType.FLOAT, ['batch', mask.count]) };
      const state = model.emitSublayer(graph, index, byName(stateNames), byName(sides), masked);
      outputStreams(graph, model, nextStream, state, index + 1);
      return graph;
    },
  };
}

/** What is left of a sublayer that is skipped, run at these costs: the stream behind its norms and its block's end. */
export function skippedPart(model: EmittedModel, index: number, costs: RunningCosts): BuilderPart {
  const key = `${model.summary.sublayers[index]?.id ?? String(index)}.skipped`;
  const sides = endSides(model.layout.sublayers[index]?.ends);
  const stateNames = [stream, ...expectedBefore(model.layout, index + 1)];
  return {
    key,
    ...costs,
    inputs: [...stateNames, ...sides],
    outputs: [nextStream, ...givenNames(model, index + 1)],
    build: () => {
      const graph = new GraphBuilder(key);
      for (const name of stateNames) {
        graph.input(name, DataType.FLOAT, [...rows, streamWidth(model)]);
      }
      sideInputs(graph, model, sides);
      const state = model.emitSkipped(graph, index, byName(stateNames), byName(sides));
      outputStreams(graph, model, nextStream, state, index + 1);
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
      const hidden = graph.input(stream, DataType.FLOAT, [...rows, streamWidth(model)]);
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

const givenNames = (model: EmittedModel, boundary: number): string[] =>
  givenAt(model.layout, boundary).map(outputName);

/** The residual stream at a boundary, and others that parts behind it read. */
function outputStreams(
  graph: GraphBuilder,
  model: EmittedModel,
  name: string,
  state: Values,
  boundary: number,
): void {
  const output = (as: string, value: Value = missing(as)): void => {
    graph.output(as, value, DataType.FLOAT, [...rows, streamWidth(model)]);
  };
  output(name, state[stream]);
  for (const given of givenAt(model.layout, boundary)) {
    output(outputName(given), state[given]);
  }
}

function byName(names: readonly string[]): Values {
  return Object.fromEntries(names.map((name) => [name, name]));
}

function missing(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}

import { clone, create } from '@bufbuild/protobuf';
import { DataType } from '../onnx/graph-builder';
import type { Dimension, ExternalData, GraphBase } from '../onnx/graph-builder';
import { NodeProtoSchema, OperatorSetIdProtoSchema } from '../onnx/proto/onnx_pb';
import type { OperatorSetIdProto } from '../onnx/proto/onnx_pb';
import { openOnnx } from '../checkpoints/onnx-file';
import type { OnnxFile, OnnxInitializer } from '../checkpoints/onnx-file';
import { GraphIndex, operatorName } from '../models/onnx/graph-index';
import { restoreNestedTensors } from '../models/onnx/edits/node-edits';
import { ValueShapes } from '../models/onnx/values/value-shapes';
import { UserError } from '../user-error';
import { GraphModel } from './graph-model';
import type { TrainableWeight } from './graph-model';
import { say } from '../message';

/** Opset that gradients are emitted in, and the oldest opset with compatible operators. */
const [opset, oldestOpset] = [17, 13] as const;

const float32: number = DataType.FLOAT;
const halfTypes: ReadonlySet<number> = new Set([DataType.FLOAT16, DataType.BFLOAT16]);

/** Inputs that are weights, by operator; other float initializers are constants of the computation. */
const weightInputs: Readonly<Record<string, readonly number[]>> = {
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  Conv: [1, 2],
  Gather: [0],
  BatchNormalization: [1, 2],
  LayerNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  PRelu: [1],
  Einsum: [0, 1],
};
/** Elementwise operators; a weight of theirs is an initializer with more than one element. */
const elementwiseOperators: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div']);
/** Operators that a weight may pass through before it is used. */
const passThroughOperators: ReadonlySet<string> = new Set([
  'Transpose',
  'Reshape',
  'Cast',
  'Identity',
  'Unsqueeze',
]);

/**
 * Opens an ONNX file for training: its float weights become parameters, the statistics of batch norms become buffers.
 * Constants of the computation, such as those of GELU, stay constants.
 * @param output name of the output that the loss is computed from; the first by default
 * @throws UserError if the file is damaged or its opset isn't supported
 */
export async function openTrainableOnnx(path: string, output?: string): Promise<GraphModel> {
  const file = await openOnnx(path);
  await restoreNestedTensors(file.graph.node, file);
  const index = new GraphIndex(file.graph, path);
  const base = graphBase(file, index, path);
  const named = file.graph.output.find(({ name }) => output === undefined || name === output);
  if (named === undefined) {
    throw new UserError('output-unknown', say`The graph has no output named ${output ?? ''}.`, {
      file: path,
      remedy: say`Use one of ${file.graph.output.map(({ name }) => name).join(', ')}.`,
    });
  }
  const shape = new ValueShapes(file.graph, index).of(named.name);
  if (shape === undefined) {
    throw new UserError(
      'output-rank-unknown',
      say`Its number of dimensions can't be derived from the graph.`,
      {
        file: path,
        field: named.name,
        remedy: say`Export the model with the shape of its output.`,
      },
    );
  }
  const weights = findWeights(file, index);
  return new GraphModel(base, weights, { value: named.name, shape: openSizes(shape) });
}

/** Removes the symbolic names that shape inference made up. */
function openSizes(shape: readonly Dimension[]): Dimension[] {
  return shape.map((size, axis) =>
    typeof size === 'string' && size.startsWith('?') ? `output_${axis}` : size,
  );
}

/**
 * Opset imports of a trainable graph.
 * @throws UserError if its opset is older than gradients need
 */
export function trainedOpsets(
  opsetImport: readonly OperatorSetIdProto[],
  path: string,
): OperatorSetIdProto[] {
  const own = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  const version = Number(own?.version ?? 0);
  if (version < oldestOpset) {
    throw new UserError(
      'opset-too-old',
      say`The model uses opset ${version}; training needs ${oldestOpset} or later.`,
      {
        file: path,
        remedy: say`Export it with opset_version=${opset}.`,
      },
    );
  }
  return opsetImport.map((imported) =>
    imported === own
      ? create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(Math.max(version, opset)) })
      : imported,
  );
}

function graphBase(file: OnnxFile, index: GraphIndex, path: string): GraphBase {
  const { graph, model, initializers } = file;
  const opsets = trainedOpsets(model.opsetImport, path);
  const all = [...initializers.values()];
  const lost = all.find(({ inline, mappable }) => inline === undefined && !mappable);
  if (lost !== undefined) {
    throw new UserError('storage-not-readable', say`Its storage layout can't be read in place.`, {
      file: path,
      field: lost.name,
      remedy: say`Export the model with raw_data, as all current exporters do.`,
    });
  }
  const halves = new Set(index.nodes.map(({ proto }) => proto));
  return {
    nodes: [...halves].map((node) => clone(NodeProtoSchema, node)),
    inputs: graph.input.filter(({ name }) => !initializers.has(name)),
    outputs: graph.output,
    constants: all.flatMap(({ inline }) => (inline === undefined ? [] : [inline])),
    weights: all.filter(({ inline }) => inline === undefined).map(external),
    opsets,
  };
}

function external(initializer: OnnxInitializer): ExternalData {
  const { name, dims, file, offset, length } = initializer;
  return { name, dataType: initializer.dataType, shape: dims, file, offset, length };
}

function findWeights(file: OnnxFile, index: GraphIndex): TrainableWeight[] {
  const isWeight = (value: string, elements: number): boolean =>
    index.consumersOf(value).some(({ proto }) => {
      const op = operatorName(proto);
      const place = proto.input.indexOf(value);
      return (
        (weightInputs[op] ?? []).includes(place) ||
        (elementwiseOperators.has(op) && elements > 1) ||
        (passThroughOperators.has(op) && place === 0 && isWeight(proto.output[0] ?? '', elements))
      );
    });
  const isStatistic = (value: string): boolean =>
    index
      .consumersOf(value)
      .some(
        ({ proto }) =>
          operatorName(proto) === 'BatchNormalization' && proto.input.indexOf(value) > 2,
      );
  return [...file.initializers.values()].flatMap(({ name, dataType, dims }): TrainableWeight[] => {
    const elements = dims.reduce((product, size) => product * size, 1);
    const isBuffer = isStatistic(name);
    const used = isBuffer || isWeight(name, elements);
    if (used && halfTypes.has(dataType)) {
      throw new UserError(
        'weights-half-precision',
        say`Weights in half precision cannot be trained.`,
        { file: file.path, field: name, remedy: say`Export the model in float32.` },
      );
    }
    const trained = dataType === float32 && used;
    return trained ? [{ name, shape: dims, isBuffer }] : [];
  });
}

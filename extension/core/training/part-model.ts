import { create, fromBinary } from '@bufbuild/protobuf';
import type { GraphPart } from '../models/layered-model';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { Dimension, ExternalData, GraphBase, Value } from '../onnx/graph-builder';
import { valueInfo } from '../onnx/messages';
import {
  ModelProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProtoSchema,
} from '../onnx/proto/onnx_pb';
import type { TensorProto, ValueInfoProto, NodeProto } from '../onnx/proto/onnx_pb';
import { floatsIn } from '../runtime/tensors';
import type { Tensors } from '../runtime/tensors';
import { UserError } from '../user-error';
import { GraphModel } from './graph-model';
import type { ShapedValue } from './losses';
import { trainedOpsets } from './onnx-trainable';
import { say } from '../message';
import { activations } from '../models/parts/activations';
import { operatorName, findSkipNorm } from '../models/onnx/graph-index';
import type { SkipNorm } from '../models/onnx/graph-index';
import { renameOutputs } from '../models/onnx/edits/node-edits';
import { normalizationNodes, sumNodes } from '../onnx/normalization-nodes';

/** Options for training a part of a model. */
export interface PartTraining {
  /** Names of the weights that become parameters. */
  readonly trained: ReadonlySet<string>;
  /** Shapes of the inputs, as far as known; unknown sizes are names. */
  readonly shapes: Readonly<Record<string, readonly Dimension[]>>;
  /** Inputs with constant values. */
  readonly fixed: Tensors;
  /** Output of the part, float32, with its shape. */
  readonly output: ShapedValue;
}

/** Activations that ONNX Runtime fuses, with or without a bias. */
const fusedActivations: Readonly<Record<string, string>> = {
  'com.microsoft:BiasGelu': 'gelu',
  'com.microsoft:Gelu': 'gelu',
  'com.microsoft:FastGelu': 'gelu_new',
};

/** Replaces ONNX Runtime's fused operators in a float32 graph by basic operators that have gradients. */
function replaceFused(base: GraphBase): GraphBase {
  const builder = GraphBuilder.over('unfused', { ...base, nodes: [], reserved: namesIn(base) });
  const nodes = base.nodes.flatMap((node) => {
    const activate = activations[fusedActivations[operatorName(node)] ?? ''];
    const skipNorm = findSkipNorm(node);
    return activate !== undefined
      ? activationNodes(builder, node, activate)
      : skipNorm !== undefined
        ? skipNormNodes(node, skipNorm, builder.opset)
        : [node];
  });
  const known = new Set(base.weights.map(({ name }) => name));
  const constants = builder.graph.initializer.filter(({ name }) => !known.has(name));
  return { ...base, nodes, constants };
}

function namesIn({ nodes, weights }: GraphBase): string[] {
  return [
    ...nodes.flatMap(({ name, output }) => [name, ...output]),
    ...weights.map(({ name }) => name),
  ];
}

function activationNodes(
  builder: GraphBuilder,
  { input: [x = '', bias = ''], output: [given = ''] }: NodeProto,
  activate: (graph: GraphBuilder, x: Value) => Value,
): NodeProto[] {
  const { result, nodes } = builder.recorded(() =>
    builder.within(given, () => activate(builder, bias === '' ? x : builder.op('Add', [x, bias]))),
  );
  return renameOutputs(nodes, [result], [given]);
}

function skipNormNodes(node: NodeProto, { terms, sum }: SkipNorm, opset: number): NodeProto[] {
  const name = sum === '' ? `${node.output[0] ?? ''}/sum` : sum;
  return [...sumNodes(terms, name), ...normalizationNodes(node, name, opset, DataType.FLOAT)];
}

/**
 * Extracts a part of a graph as a trainable model, with operators that have gradients if such are known.
 * @param path source file, for error messages
 * @throws UserError if its operators are too old or the output isn't float32
 */
export function partModel(
  part: GraphPart,
  { trained, shapes, fixed, output }: PartTraining,
  path: string,
): GraphModel {
  const bytes = part.build().toBytes(({ file, offset }) => ({ location: file, offset }));
  const model = fromBinary(ModelProtoSchema, bytes);
  const opsets = trainedOpsets(model.opsetImport, path);
  const { node = [], input = [], output: outputs = [], initializer = [] } = model.graph ?? {};
  const float32: number = DataType.FLOAT;
  const given = outputs.find(({ name }) => name === output.value);
  if (given === undefined || elementType(given) !== float32) {
    throw new UserError(
      'output-not-float32',
      say`Its output is not float32, so it cannot be trained.`,
      { file: path, field: output.value, remedy: say`Export the model in float32.` },
    );
  }
  const isExternal = ({ dataLocation }: TensorProto): boolean =>
    dataLocation === DataLocation.EXTERNAL;
  const weights = initializer.filter(isExternal).map(external);
  const inside = initializer.filter((tensor) => !isExternal(tensor));
  const parameters = [
    ...weights,
    ...inside.map(({ name, dims }) => ({ name, shape: dims.map(Number) })),
  ].filter(({ name }) => trained.has(name));
  return new GraphModel(
    replaceFused({
      nodes: node,
      inputs: input
        .filter(({ name }) => fixed[name] === undefined)
        .map((info) => {
          const shape = shapes[info.name];
          return shape === undefined ? info : withShape(info, shape);
        }),
      outputs: [],
      constants: [...inside, ...createConstants(fixed)],
      weights,
      opsets,
    }),
    parameters.map(({ name, shape }) => ({ name, shape, isBuffer: false })),
    output,
  );
}

function withShape(info: ValueInfoProto, shape: readonly Dimension[]): ValueInfoProto {
  const declared = valueInfo(info.name, DataType.FLOAT, shape);
  if (declared.type?.value.case === 'tensorType') {
    declared.type.value.value.elemType = elementType(info);
  }
  return declared;
}

function elementType({ type }: ValueInfoProto): number {
  return type?.value.case === 'tensorType' ? type.value.value.elemType : 0;
}

/** Location of a weight in its file, as stored by {@link partModel}. */
function external({ name, dataType, dims, externalData }: TensorProto): ExternalData {
  const entries = new Map(externalData.map(({ key, value }) => [key, value]));
  const [offset, length] = [Number(entries.get('offset')), Number(entries.get('length'))];
  const file = entries.get('location') ?? '';
  return { name, dataType, shape: dims.map(Number), file, offset, length };
}

function createConstants(fixed: Tensors): TensorProto[] {
  return Object.entries(fixed).map(([name, tensor]) => {
    const { buffer, byteOffset, byteLength } = floatsIn(tensor);
    return create(TensorProtoSchema, {
      name,
      dataType: DataType.FLOAT,
      dims: tensor.dims.map(BigInt),
      rawData: new Uint8Array(buffer, byteOffset, byteLength),
    });
  });
}

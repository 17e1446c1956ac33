import { TensorProto_DataType as DataType } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { operatorName } from '../graph-index';
import type { GraphIndex } from '../graph-index';

/** Operators with a fixed output type; -1 means the type of the second input. */
const fixedTypes: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^(?:Shape|Size|NonZero|ArgMax|ArgMin|TfIdfVectorizer)$/, [DataType.INT64]],
  [
    /^(?:Equal|Less|LessOrEqual|Greater|GreaterOrEqual|And|Or|Xor|Not|IsNaN|IsInf)$/,
    [DataType.BOOL],
  ],
  [/^(?:MatMulInteger|ConvInteger)$/, [DataType.INT32]],
  [/^DynamicQuantizeLinear$/, [DataType.UINT8, DataType.FLOAT, DataType.UINT8]],
];
/** Index of the input that determines the output type, if it isn't the first. */
const typeInput: Readonly<Record<string, number>> = {
  Where: 1,
  DequantizeLinear: 1,
  QuantizeLinear: 2,
  'com.microsoft:DequantizeLinear': 1,
  'com.microsoft:QuantizeLinear': 2,
  'com.microsoft:DynamicQuantizeMatMul': 0,
  'com.microsoft:MatMulIntegerToFloat': 2,
  'com.microsoft:EmbedLayerNormalization': 2,
  'com.microsoft:GatherBlockQuantized': 2,
  'com.microsoft:QLinearConcat': 1,
  'com.microsoft:QLinearWhere': 1,
  OneHot: 2,
};
const undefinedType: number = DataType.UNDEFINED;
/** Second outputs that count positions. */
const indexOutputs: Readonly<Record<string, number>> = {
  TopK: DataType.INT64,
  Unique: DataType.INT64,
  MaxPool: DataType.INT64,
  'com.microsoft:EmbedLayerNormalization': DataType.INT32,
};

/** A graph with the element types of its initializers. */
interface TypedGraph {
  readonly graph: GraphProto;
  readonly initializers: ReadonlyMap<string, { readonly name: string; readonly dataType: number }>;
}

/** Element types of a graph's values: as the file declares them, else as the operators give them. */
export class ValueTypes {
  private readonly known = new Map<string, number>();

  public constructor(
    { graph, initializers }: TypedGraph,
    private readonly index: Pick<GraphIndex, 'producers'>,
  ) {
    declare(graph, this.known);
    for (const { name, dataType } of initializers.values()) {
      this.known.set(name, dataType);
    }
  }

  /** Element type number, as in onnx.proto; float32 if unknown. */
  public of(value: string): number {
    const path = new Set<string>();
    let type: number | undefined;
    for (let next = value; type === undefined && !path.has(next);) {
      path.add(next);
      const found = this.known.get(next) ?? this.infer(next);
      if (typeof found === 'string') {
        next = found;
      } else {
        type = found;
      }
    }
    for (const name of path) {
      this.known.set(name, type ?? DataType.FLOAT);
    }
    return type ?? DataType.FLOAT;
  }

  /** The type, or the name of a value that has the same. */
  private infer(value: string): number | string {
    const node = this.index.producers.get(value);
    if (node === undefined) {
      return DataType.FLOAT;
    }
    const { op, proto } = node;
    const place = proto.output.indexOf(value);
    const attribute = (name: string) => proto.attribute.find((one) => one.name === name);
    const fixed = fixedTypes.find(([pattern]) => pattern.test(op))?.[1];
    if (fixed !== undefined) {
      return fixed[Math.max(0, place)] ?? DataType.FLOAT;
    }
    const positions = indexOutputs[op];
    if (place === 1 && positions !== undefined) {
      return positions;
    }
    switch (op) {
      case 'Cast':
        return Number(attribute('to')?.i ?? DataType.FLOAT);
      case 'Constant':
        return constantType(proto);
      case 'ConstantOfShape':
        return attribute('value')?.t?.dataType ?? DataType.FLOAT;
      case 'EyeLike':
      case 'RandomNormal':
      case 'RandomUniform':
        return Number(attribute('dtype')?.i ?? DataType.FLOAT);
      case 'If':
        return outputType(attribute('then_branch')?.g, place);
      case 'Loop':
        // Its body outputs the condition first.
        return outputType(attribute('body')?.g, place + 1);
      case 'Scan':
        return outputType(attribute('body')?.g, place);
      default:
        // The halves of a node read other values than the node.
        return op === operatorName(proto)
          ? (proto.input[typeInput[op] ?? 0] ?? proto.input[0] ?? '')
          : (node.inputs[0] ?? '');
    }
  }
}

function declare(graph: GraphProto, known: Map<string, number>): void {
  for (const { name, type } of [...graph.valueInfo, ...graph.input, ...graph.output]) {
    const value = type?.value;
    if (value?.case === 'tensorType' && value.value.elemType !== undefinedType) {
      known.set(name, value.value.elemType);
    }
  }
}

function constantType({ attribute }: NodeProto): number {
  const [only] = attribute;
  switch (only?.name) {
    case 'value':
      return only.t?.dataType ?? DataType.FLOAT;
    case 'value_int':
    case 'value_ints':
      return DataType.INT64;
    case 'value_string':
    case 'value_strings':
      return DataType.STRING;
    default:
      return DataType.FLOAT;
  }
}

function outputType(graph: GraphProto | undefined, place: number): number {
  const value = graph?.output[place]?.type?.value;
  return value?.case === 'tensorType' ? value.value.elemType : DataType.FLOAT;
}

import { create } from '@bufbuild/protobuf';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../../checkpoints/onnx-file';
import { attribute, copyWith, valueInfo } from '../../onnx/messages';
import { normalizationNodes, fusedNormScale, sumNodes } from '../../onnx/normalization-nodes';
import {
  GraphProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from '../../onnx/proto/onnx_pb';
import type { AttributeProto, NodeProto, ValueInfoProto } from '../../onnx/proto/onnx_pb';
import type { GraphPart } from '../layered-model';
import { isEmbeddingWithNorm, isQuantizedSum, operatorName, requantized } from './graph-index';
import type { GraphNode } from './graph-index';
import type { Cut } from './graph-stages';
import { hasUnitStrides } from './matrices/linear-weights';
import type { PositionMap } from './matrices/linear-weights';
import { maskPort, maskScores } from './mixtures/mask-scores';
import type { MaskedMixture } from './mixtures/mask-scores';
import { renameInputs } from './edits/node-edits';
import type { OnnxModel } from './stream/graph-stream';
import { StoredGraph } from './edits/stored-graph';
import { ValueTypes } from './values/value-types';

/** Output of the inputs of a linear layer as float32 [rows, width]: the concatenated rows of all `values`. */
export interface Tap {
  readonly output: string;
  readonly values: readonly { readonly name: string; readonly map: PositionMap | undefined }[];
  readonly width: number;
}

/** Matmuls with quantized weights. */
const fewBits =
  /(?:^|:)(?:MatMulNBits|MatMulInteger|DynamicQuantizeMatMul|MatMulIntegerToFloat|DequantizeLinear)$/;

interface PartOptions {
  /** Replacements of skipped values. */
  readonly aliases?: ReadonlyMap<string, string>;
  readonly masked?: MaskedMixture | undefined;
  /** Additional outputs. */
  readonly taps?: readonly Tap[];
}

/**
 * One term of a QLinearAdd, requantized to the scale of the sum, as if the other term were zero. The term is input 0 or
 * 3, followed by its scale and zero point.
 */
export function requantizationNodes(
  { input }: NodeProto,
  place: number,
  resolve: (name: string) => string,
  output: string,
): NodeProto[] {
  const wide = `${output}/wide`;
  const make = (opType: string, inputs: readonly string[], made: string): NodeProto =>
    create(NodeProtoSchema, {
      name: `${made}/${opType}`,
      opType,
      // An absent zero point is 0.
      input: inputs.filter((name) => name !== '').map(resolve),
      output: [made],
    });
  return [
    make('DequantizeLinear', input.slice(place, place + 3), wide),
    make('QuantizeLinear', [wide, ...input.slice(6)], output),
  ];
}

/** Converts the parts of a cut graph to separate graphs. */
export class OnnxParts {
  private readonly types: ValueTypes;
  private readonly declared: ReadonlyMap<string, ValueInfoProto>;

  public constructor(private readonly model: OnnxModel) {
    this.types = new ValueTypes(model.file, model.index);
    const { input, valueInfo } = model.file.graph;
    this.declared = new Map([...valueInfo, ...input].map((info) => [info.name, info]));
  }

  /** Part that computes `outputs`. */
  public part(
    key: string,
    cut: Cut,
    outputs: readonly string[],
    { aliases = new Map(), masked, taps = [] }: PartOptions = {},
  ): GraphPart {
    const { initializers } = this.model.file;
    const weights = [...cut.weights].flatMap((name) => initializers.get(name) ?? []);
    const inputs = [...cut.state, ...cut.side];
    const passed = outputs.filter((name) => inputs.includes(name));
    const outputName = (name: string): string =>
      passed.includes(name) ? `${portName(name)}/output` : portName(name);
    return {
      key,
      bytes: weights.reduce((sum, { name, dims }) => {
        const asFloats = elementCount(dims) * Float32Array.BYTES_PER_ELEMENT;
        return sum + (this.model.memory?.get(name) ?? asFloats);
      }, 0),
      needsPrepacking: cut.nodes.some(({ op }) => fewBits.test(op)),
      inputs: [...inputs.map(portName), ...(masked === undefined ? [] : [masked.mask.input])],
      outputs: [...outputs.map(outputName), ...taps.map((tap) => tap.output)],
      build: () => {
        const { model, path } = this.model.file;
        const graph = create(GraphProtoSchema, {
          name: key,
          valueInfo: cut.nodes
            .flatMap((node) => node.outputs)
            .filter((name) => !outputs.includes(name))
            .flatMap((name) => this.declared.get(name) ?? []),
          node: [
            ...cut.nodes
              .flatMap((node) => this.emit(node, aliases))
              .flatMap((node) =>
                masked === undefined
                  ? [node]
                  : maskScores(node, masked, (value) => this.types.of(value)),
              ),
            ...passed.map((name) => identity(portName(name), outputName(name))),
            ...taps.flatMap(emitTap),
          ],
          input: [
            ...inputs.map((name) => this.declare(name)),
            ...(masked === undefined ? [] : [maskPort(masked)]),
          ],
          output: [
            ...outputs.map((name) =>
              create(ValueInfoProtoSchema, { name: outputName(name), type: this.typeOf(name) }),
            ),
            ...taps.map(({ output, width }) => valueInfo(output, DataType.FLOAT, ['rows', width])),
          ],
        });
        return new StoredGraph(model, graph, [...weights, ...taps.map(tapShape)], path);
      },
    };
  }

  private emit(node: GraphNode, aliases: ReadonlyMap<string, string>): NodeProto[] {
    const { proto, op } = node;
    const resolve = (name: string): string => portName(aliases.get(name) ?? name);
    if (op === requantized) {
      const [term = ''] = node.inputs;
      const [output = ''] = node.outputs;
      return requantizationNodes(proto, proto.input.indexOf(term), resolve, portName(output));
    }
    if (op === operatorName(proto) && isEmbeddingWithNorm(proto)) {
      // Its norm is a separate node, of this part or another one.
      const [normed = '', ...others] = proto.output;
      return [
        copyWith(renameInputs(proto, resolve), { output: [`${normed}/embedded`, ...others] }),
      ];
    }
    if (op === operatorName(proto) || isQuantizedSum(proto)) {
      return [aliases.size === 0 ? proto : renameInputs(proto, resolve)];
    }
    // One half of a node that adds and normalizes: the boundary lies between them.
    if (op === 'Add') {
      return sumNodes(node.inputs.map(resolve), portName(node.outputs[0] ?? ''));
    }
    const [sum = ''] = node.inputs;
    const gamma = this.model.file.initializers.get(fusedNormScale(proto)[0] ?? '')?.dataType;
    const { opset } = this.model.summary;
    return normalizationNodes(proto, resolve(sum), opset, gamma ?? DataType.FLOAT);
  }

  /** Value info with the shape in the file, if known. Without it, GroupQueryAttention takes queries as packed. */
  private declare(name: string): ValueInfoProto {
    return (
      this.declared.get(name) ??
      create(ValueInfoProtoSchema, { name: portName(name), type: this.typeOf(name) })
    );
  }

  private typeOf(name: string) {
    return create(TypeProtoSchema, {
      value: {
        case: 'tensorType',
        value: create(TypeProto_TensorSchema, { elemType: this.types.of(name) }),
      },
    });
  }
}

/** Nodes that compute the rows of all values of a tap. */
function emitTap({ output, values }: Tap): NodeProto[] {
  const rows = values.map((_, i) => `${output}/rows.${i}`);
  const node = (
    opType: string,
    input: readonly string[],
    made: string,
    ...attributes: AttributeProto[]
  ) =>
    create(NodeProtoSchema, {
      name: made,
      opType,
      input: [...input],
      output: [made],
      attribute: attributes,
    });
  return [
    ...values.flatMap(({ name, map }, i) => {
      const made = rows[i] ?? '';
      const [wide, taken, last] = [`${made}/wide`, `${made}/taken`, `${made}/last`];
      const cast = node('Cast', [portName(name)], wide, attribute('to', DataType.FLOAT));
      const narrow = (value: string) => node('Reshape', [value, shapeName(output)], made);
      if (map === undefined) {
        return [cast, narrow(wide)];
      }
      const { axes, strides } = map;
      const places = Array.from({ length: axes }, (_, axis) => axis + 2);
      const channelsLast = attribute('perm', [0, ...places, 1]);
      const kernel = attribute(
        'kernel_shape',
        strides.map(() => 1),
      );
      return [
        cast,
        ...(hasUnitStrides(map)
          ? []
          : [node('MaxPool', [wide], taken, kernel, attribute('strides', strides))]),
        node('Transpose', [hasUnitStrides(map) ? wide : taken], last, channelsLast),
        narrow(last),
      ];
    }),
    node('Concat', rows, output, attribute('axis', 0)),
  ];
}

function shapeName(output: string): string {
  return `${output}/shape`;
}

/** The shape [rows, width] as a constant. */
function tapShape({ output, width }: Tap): OnnxInitializer {
  const rawData = new Uint8Array(BigInt64Array.of(-1n, BigInt(width)).buffer);
  const name = shapeName(output);
  const dataType = DataType.INT64;
  return {
    name,
    dataType,
    dtype: 'I64',
    dims: [2],
    file: '',
    offset: 0,
    length: rawData.length,
    inline: create(TensorProtoSchema, { name, dataType, dims: [2n], rawData }),
    mappable: false,
  };
}

/**
 * Internal names for values that a fused node doesn't output contain a zero byte, so they can't clash with names of the
 * graph.
 */
export function portName(name: string): string {
  return name.replace('\0', '/');
}

function identity(input: string, output: string): NodeProto {
  return create(NodeProtoSchema, {
    name: output,
    opType: 'Identity',
    input: [input],
    output: [output],
  });
}

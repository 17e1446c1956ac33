import { clone, create, toBinary } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as DataType,
} from './proto/onnx_pb';
import type { Message } from '../message';
import { withInitializers } from './append-initializers';
import type { WeightBytes } from './append-initializers';
import { attribute, entry, externalTensor, float, numberArrays, valueInfo } from './messages';
import type { Attribute, Dimension, ExternalData, ExternalLocation } from './messages';
import type {
  GraphProto,
  NodeProto,
  OperatorSetIdProto,
  TensorProto,
  ValueInfoProto,
} from './proto/onnx_pb';

export type { Attribute, Dimension, ExternalData, ExternalLocation } from './messages';
export { DataType, float };

/** Name of an edge of the graph. */
export type Value = string;

/** Opset with LayerNormalization and without inputs-as-axes reductions; read by every ONNX Runtime since 1.12. */
const opsetVersion = 17;
const irVersion = 8n;
/** First opset with 4-bit integers, which require a newer file format. */
const fourBitOpset = 21;
const fourBitIrVersion = 10n;
/** From this opset on, nodes are written as {@link rewriteForOpset18} does. */
const rewrittenFrom = 18;

/** A graph that exists already, to be built upon. */
export interface GraphBase {
  readonly nodes: readonly NodeProto[];
  readonly inputs: readonly ValueInfoProto[];
  readonly outputs: readonly ValueInfoProto[];
  /** Initializers stored in the graph. */
  readonly constants: readonly TensorProto[];
  readonly weights: readonly ExternalData[];
  readonly opsets: readonly OperatorSetIdProto[];
  /** Additional names that are taken. */
  readonly reserved?: Iterable<string>;
}

/** A matrix of floats, quantized blocks or packed numbers in a file. */
export interface StoredRows {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
  /** Number of heads whose rows are stored interleaved. */
  readonly interleavedHeads?: number;
  /** Set if several tensors store this one: the format, for the reader of its rows. */
  readonly packed?: object;
}

/** A weight that is computed from stored bytes when a session is created, and by nodes in a graph that is written. */
export interface ComputedWeight {
  /** Unique in the graph. */
  readonly name: string;
  readonly dataType: DataType;
  readonly shape: readonly number[];
  /** Size of the computed weight. */
  readonly bytes: number;
  /**
   * A stored matrix whose rows, decoded to float32, are the weight; or a function that fills `target`, which has
   * {@link ComputedWeight.bytes} bytes, in the byte order of the machine.
   */
  readonly source: StoredRows | ((target: Uint8Array) => Promise<void>);
  /** Emits nodes that compute the same value. */
  readonly emit: (graph: GraphBuilder) => Value;
}

/** Place of a weight: its initializer, an absolute path, and the first byte. */
export type WeightPlace = Pick<ExternalData, 'name' | 'file' | 'offset'>;

/** Graph for a session. */
export interface SessionGraph {
  readonly externalData: readonly WeightPlace[];
  readonly computed: readonly ComputedWeight[];
  /** @param weights the computed weights; if absent, they are inputs of the graph */
  readonly toBytes: (
    locate: (data: WeightPlace) => ExternalLocation,
    weights?: readonly WeightBytes[],
  ) => Uint8Array;
}

/** Builds one ONNX graph, node by node; weights are named by file and offset, never read. */
export class GraphBuilder {
  private nodes: NodeProto[] = [];
  private readonly inputs: ValueInfoProto[] = [];
  private readonly outputs: ValueInfoProto[] = [];
  private readonly constants = new Map<string, TensorProto>();
  private readonly external = new Map<string, ExternalData>();
  private readonly computed = new Map<string, ComputedWeight>();
  private readonly taken = new Set<string>();
  private opsets = [
    create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opsetVersion) }),
  ];
  /** Values by the name under which somebody may look for them. */
  private readonly marked = new Map<string, Value>();
  private scope = '';
  /** Prefix of the names of constants. */
  private root = '';
  private counter = 0;

  public constructor(public readonly name: string) {}

  /** Builder that continues `base`; its nodes are copied. */
  public static over(name: string, base: GraphBase): GraphBuilder {
    const builder = new GraphBuilder(name);
    builder.nodes.push(...base.nodes.map((node) => clone(NodeProtoSchema, node)));
    builder.inputs.push(...base.inputs);
    builder.outputs.push(...base.outputs);
    builder.opsets = [...base.opsets];
    base.constants.forEach((tensor) => builder.constants.set(`given:${tensor.name}`, tensor));
    base.weights.forEach((data) => builder.weight(data));
    const names = [
      ...builder.nodes.flatMap((node) => [node.name, ...node.output]),
      ...[...base.inputs, ...base.constants, ...base.weights].map((value) => value.name),
    ];
    for (const value of [...names, ...(base.reserved ?? [])]) {
      builder.taken.add(value);
    }
    return builder;
  }

  public get opsetImports(): readonly OperatorSetIdProto[] {
    return this.opsets;
  }

  /** Version of ONNX's own operators. */
  public get opset(): number {
    return Number(this.opsets.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version);
  }

  /** Values marked by {@link mark}. */
  public get marks(): ReadonlyMap<string, Value> {
    return this.marked;
  }

  /** Current graph; nodes are not copied, and initializers in files have no location yet. */
  public get graph(): GraphProto {
    this.emitComputed();
    return create(GraphProtoSchema, {
      name: this.name,
      node: this.nodes,
      input: this.inputs,
      output: this.outputs,
      initializer: [
        ...this.constants.values(),
        ...this.externalData.map((data) =>
          externalTensor(data, { location: '', offset: data.offset }),
        ),
      ],
    });
  }

  /** Initializers that stay in their files, in order of first use. */
  public get externalData(): readonly ExternalData[] {
    this.emitComputed();
    return [...this.external.values()];
  }

  /**
   * The graph for a session of this process, which dequantizes weights itself instead of letting ONNX Runtime fold nodes:
   * that takes 5 to 13 times the float32 result in memory.
   */
  public forSession(): SessionGraph {
    const computed = [...this.computed.values()];
    return {
      externalData: [...this.external.values()],
      computed,
      toBytes: (locate, weights) =>
        weights === undefined
          ? this.serialize(
              locate,
              {},
              computed.map(({ name, dataType, shape }) => valueInfo(name, dataType, shape)),
            )
          : withInitializers(this.serialize(locate, {}), weights),
    };
  }

  /** Prefixes the names of nodes emitted by `emit`, so that the graph can be read by people. */
  public within<T>(scope: string, emit: () => T): T {
    const previousScope = this.scope;
    this.scope = `${previousScope}/${scope}`;
    try {
      return emit();
    } finally {
      this.scope = previousScope;
    }
  }

  /** Emits one step of the computation. Diagrams draw it as one box, see `inspect/flow/step-labels.ts`. */
  public step<T>(_name: string | Message, emit: () => T): T {
    return emit();
  }

  /** Emits a repeated part of a sublayer, such as an expert. Diagrams draw it as a frame. */
  public part<T>(_name: string, emit: () => T): T {
    return emit();
  }

  /** Value that represents a stored tensor in a graph that is only drawn; undefined in a graph that runs. */
  public placeholder(_tensor: Pick<StoredRows, 'shape' | 'file' | 'offset'>): Value | undefined {
    return undefined;
  }

  /** Graph for a node attribute; its names don't clash with this graph's names. */
  public nested(): GraphBuilder {
    const name = this.freeName(() => `${this.scope}/body_${this.counter++}`);
    const inner = new GraphBuilder(name);
    inner.scope = name;
    inner.root = `${name}/`;
    return inner;
  }

  /** Result of `emit`, and the nodes that it adds, which are not copied. */
  public recorded<T>(emit: () => T): { readonly result: T; readonly nodes: readonly NodeProto[] } {
    const before = this.nodes.length;
    const result = emit();
    return { result, nodes: this.nodes.slice(before) };
  }

  public input(name: string, type: DataType, shape?: readonly Dimension[]): Value {
    this.inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Declares `value` as an output under `name`; without a shape not even its rank is promised. */
  public output(name: string, value: Value, type: DataType, shape?: readonly Dimension[]): void {
    this.nodes.push(
      create(NodeProtoSchema, {
        name: `output/${name}`,
        opType: 'Identity',
        input: [value],
        output: [name],
      }),
    );
    this.outputs.push(valueInfo(name, type, shape));
  }

  /**
   * Like {@link output}, for a value whose old name is no longer used: the producing node is renamed instead of adding
   * a copy.
   */
  public handOver(name: string, value: Value, type: DataType, shape: readonly Dimension[]): void {
    const maker = this.nodes.find(({ output }) => output.includes(value));
    if (maker === undefined || this.outputs.some((output) => output.name === value)) {
      this.output(name, value, type, shape);
      return;
    }
    const renamed = (values: readonly string[]): string[] =>
      values.map((one) => (one === value ? name : one));
    maker.output = renamed(maker.output);
    for (const node of this.nodes) {
      if (node.input.includes(value)) {
        node.input = renamed(node.input);
      }
    }
    this.outputs.push(valueInfo(name, type, shape));
  }

  public weight(data: ExternalData): Value {
    const known = this.external.get(data.name);
    const { dataType, shape } = data;
    // The same bytes may be read as several types.
    const isSame =
      known === undefined ||
      (known.dataType === dataType && known.shape.join() === data.shape.join());
    const view = `${data.name}:${String(DataType[dataType]).toLowerCase()}${shape.length}`;
    const name = isSame ? data.name : view;
    this.external.set(name, { ...data, name });
    return name;
  }

  /** Weight that is computed when the session is created; see {@link GraphBuilder.forSession}. */
  public computedWeight(weight: ComputedWeight): Value {
    this.computed.set(weight.name, weight);
    this.taken.add(weight.name);
    return weight.name;
  }

  public floats(values: readonly number[] | Float32Array, shape: readonly number[]): Value {
    return this.numbers(DataType.FLOAT, values, shape);
  }

  /** A constant of the element type given, which is FLOAT, DOUBLE or INT32. */
  public numbers(type: number, values: ArrayLike<number>, shape: readonly number[]): Value {
    const data = numberArrays[type]?.from(values);
    if (data === undefined) {
      throw new Error(`no constant is made of element type ${type}`);
    }
    const key = `${type}:${shape.join()}:${data.join()}`;
    return this.constant(type, shape, new Uint8Array(data.buffer), key);
  }

  public ints(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    const data = BigInt64Array.from(values, BigInt);
    return this.constant(
      DataType.INT64,
      shape,
      new Uint8Array(data.buffer),
      `i:${shape.join()}:${data.join()}`,
    );
  }

  public bytes(values: readonly number[], shape: readonly number[]): Value {
    return this.constant(
      DataType.UINT8,
      shape,
      Uint8Array.from(values),
      `b:${shape.join()}:${values.join()}`,
    );
  }

  /** A float without dimensions. */
  public scalar(value: number): Value {
    return this.floats([value], []);
  }

  /** Stores `value` under a name, such as the input of a layer under the layer's id. */
  public mark(name: string, value: Value): void {
    this.marked.set(name, value);
  }

  /**
   * Raises ONNX's own operator set to at least `version`, from 17 to at most 21; nodes that are written
   * otherwise there are rewritten.
   */
  public requireOpset(version: number): void {
    const { opset } = this;
    if (opset >= version) {
      return;
    }
    if (opset < opsetVersion) {
      throw new Error(`nodes of opset ${opset} are not rewritten`);
    }
    this.opsets = [
      create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(version) }),
      ...this.opsets.filter(({ domain }) => domain !== '' && domain !== 'ai.onnx'),
    ];
    if (opset < rewrittenFrom) {
      this.nodes.forEach((node) => {
        this.rewrite(node);
      });
    }
  }

  /** Removes the node that produces a value if it has this operator and no reader; otherwise undefined. */
  public takeBack(type: string, value: Value): NodeProto | undefined {
    const at = this.nodes.findIndex((node) => node.opType === type && node.output[0] === value);
    const isRead = this.nodes.some(({ input }) => input.includes(value));
    return at < 0 || isRead ? undefined : this.nodes.splice(at, 1)[0];
  }

  /** Removes nodes without readers. */
  public drop(nodes: ReadonlySet<NodeProto>): void {
    this.nodes = this.nodes.filter((node) => !nodes.has(node));
  }

  /** Adds a node with one output. */
  public op(
    type: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const [output = ''] = this.ops(type, inputs, 1, attributes);
    return output;
  }

  /** Adds a node with one output of an operator that is not ONNX's own. */
  public foreignOp(
    domain: string,
    type: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const [output = ''] = this.ops(type, inputs, 1, attributes, domain);
    return output;
  }

  /** Adds a node with `count` outputs; of a domain that is not imported, version 1 is. */
  public ops(
    type: string,
    inputs: readonly Value[],
    count: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): Value[] {
    if (domain !== '' && !this.opsets.some((known) => known.domain === domain)) {
      this.opsets.push(create(OperatorSetIdProtoSchema, { domain, version: 1n }));
    }
    const name = this.freeName(() => `${this.scope}/${type}_${this.counter++}`);
    const outputs = Array.from({ length: count }, (_, i) => (count === 1 ? name : `${name}:${i}`));
    const node = create(NodeProtoSchema, {
      name,
      domain,
      opType: type,
      input: [...inputs],
      output: outputs,
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    });
    if (this.opset >= rewrittenFrom) {
      this.rewrite(node);
    } else if (this.opset <= lastGemmWithSum) {
      rewriteForOpset10(node, () => this.floats([0], [1]));
    }
    this.add(node);
    return outputs;
  }

  protected add(node: NodeProto): void {
    this.nodes.push(node);
  }

  /** A reduction such as ReduceMean over fixed axes, for any opset. */
  public reduce(type: string, x: Value, axes: readonly number[], keepdims: 0 | 1): Value {
    return type === 'ReduceSum'
      ? this.op(type, [x, this.ints(axes)], { keepdims })
      : this.op(type, [x], { axes, keepdims });
  }

  /** Serializes the model; `locate` says where each external initializer will be found. */
  public toBytes(
    locate: (data: ExternalData) => ExternalLocation,
    metadata: Readonly<Record<string, string>> = {},
  ): Uint8Array {
    this.emitComputed();
    return this.serialize(locate, metadata);
  }

  private serialize(
    locate: (data: ExternalData) => ExternalLocation,
    metadata: Readonly<Record<string, string>>,
    weightInputs: readonly ValueInfoProto[] = [],
  ): Uint8Array {
    const initializers = [
      ...this.constants.values(),
      ...[...this.external.values()].map((data) => externalTensor(data, locate(data))),
    ];
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: this.opset >= fourBitOpset ? fourBitIrVersion : irVersion,
        producerName: 'espalier',
        opsetImport: this.opsets,
        metadataProps: Object.entries(metadata).map(([key, value]) => entry(key, value)),
        graph: create(GraphProtoSchema, {
          name: this.name,
          node: this.nodes,
          input: [...this.inputs, ...weightInputs],
          output: this.outputs,
          initializer: initializers,
        }),
      }),
    );
  }

  /**
   * Adds nodes that compute the weights, each right before its first reader: ONNX Runtime runs unoptimized nodes in
   * this order, and would otherwise hold all weights in memory at the same time.
   */
  private emitComputed(): void {
    const weights = [...this.computed.values()];
    this.computed.clear();
    const own = this.nodes;
    const pending = new Map<string, readonly NodeProto[]>();
    for (const { name, emit } of weights) {
      this.nodes = [];
      const value = this.within(name, () => emit(this));
      for (const node of this.nodes) {
        node.input = node.input.map((one) => (one === value ? name : one));
        node.output = node.output.map((one) => (one === value ? name : one));
      }
      pending.set(name, this.nodes);
    }
    const ordered: NodeProto[] = [];
    for (const node of own) {
      for (const name of node.input) {
        ordered.push(...(pending.get(name) ?? []));
        pending.delete(name);
      }
      ordered.push(node);
    }
    // Read by a graph in an attribute, or by none.
    this.nodes = [...[...pending.values()].flat(), ...ordered];
  }

  private rewrite(node: NodeProto): void {
    rewriteForOpset18(node, (axes) => this.ints(axes));
  }

  private constant(
    dataType: number,
    shape: readonly number[],
    rawData: Uint8Array,
    key: string,
  ): Value {
    const known = this.constants.get(key);
    if (known !== undefined) {
      return known.name;
    }
    let number = this.constants.size;
    const name = this.freeName(() => `${this.root}constant_${number++}`);
    this.addConstant(
      key,
      create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt), rawData }),
    );
    return name;
  }

  protected addConstant(key: string, tensor: TensorProto): void {
    this.constants.set(key, tensor);
  }

  /** Reserves and returns the first proposed name that is free. */
  private freeName(propose: () => string): string {
    let name = propose();
    while (this.taken.has(name)) {
      name = propose();
    }
    this.taken.add(name);
    return name;
  }
}

/**
 * Converts a node of opset 17 to opsets 18 to 21: a reduction takes its axes as an input, as only
 * ReduceSum did before, and a Split into equal parts states their number. No other operator in our
 * graphs changed.
 * @param constant makes an int64 constant and returns its name
 */
function rewriteForOpset18(node: NodeProto, constant: (values: readonly number[]) => string): void {
  const axes = node.attribute.find(({ name }) => name === 'axes');
  if (node.opType.startsWith('Reduce') && axes !== undefined) {
    node.attribute = node.attribute.filter((one) => one !== axes);
    node.input = [...node.input, constant(axes.ints.map(Number))];
  }
  if (node.opType === 'Split' && node.input.length === 1) {
    node.attribute = [...node.attribute, attribute('num_outputs', node.output.length)];
  }
}

/** Last opset in which Gemm requires the input C. */
const lastGemmWithSum = 10;

/**
 * Rewrites a node of opset 17 for opsets 7 to 10: Gemm adds a zero.
 * @param zero creates the constant and returns its name
 */
function rewriteForOpset10(node: NodeProto, zero: () => string): void {
  if (node.opType === 'Gemm' && node.input.length === 2) {
    node.input = [...node.input, zero()];
  }
}

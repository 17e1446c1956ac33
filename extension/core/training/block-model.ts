import { blockCodecs } from '../checkpoints/quantize/block-codecs';
import type { BlockNumbers } from '../checkpoints/quantize/block-numbers';
import { elementCount } from '../checkpoints/lazy-tensor';
import { renameOutputs } from '../models/onnx/edits/node-edits';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { GraphBase, Value } from '../onnx/graph-builder';
import { valueInfo } from '../onnx/messages';
import { floatTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import type { ShapedValue } from './losses';
import type { ForwardGraph, Parameter, TrainableModel } from './trainable-model';

/** A matrix of a graph that is stored in quantization blocks. */
export interface BlockMatrix {
  /** Name of the weight, which the blocks replace. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly numbers: BlockNumbers;
  /** The weights before they were rounded. */
  readonly original: Float32Array;
}

/** Numbers of blocks that are trained; a parameter is named by its matrix and one of these. */
const kinds = ['codes', 'scales', 'offsets', 'units', 'offsetUnits'] as const;
type Kind = (typeof kinds)[number];

/**
 * Value of a unit's parameter that leaves the unit as it is. With it, a step of one size changes a weight about as much
 * by its unit as by its code.
 */
const unitSteps = 16;
/** Unit of blocks that have none, in float16. */
const smallestUnit = 2 ** -20;
/** Steps of a code's parameter between two codes: at the rate of scales, too many codes change together (bench/distill). */
const codeSteps = 2;
/**
 * Part of the distance of a weight from its code by which the code's parameter starts apart from the code, so that the
 * first steps change no code. The parameters of weights that are nearer to other codes start at their codes: error
 * feedback chose these.
 */
const startShare = 0.7;

/**
 * Model whose matrices are computed from the numbers of quantization blocks, as the decoders of GGUF types do. Integers
 * are rounded from parameters in float32, which get the gradients of the integers. Units are rounded to float16.
 */
export class BlockModel implements TrainableModel {
  public readonly parameters: readonly Parameter[];
  public readonly buffers = [];
  public readonly inputs: readonly string[];
  private readonly base: GraphBase;
  private readonly straightThrough = new Map<string, Value>();

  public constructor(
    base: GraphBase,
    public readonly matrices: readonly BlockMatrix[],
    private readonly output: ShapedValue,
  ) {
    this.inputs = base.inputs.map(({ name }) => name);
    this.parameters = matrices.flatMap((matrix) =>
      presentKinds(matrix).map((kind) => ({
        name: parameterName(matrix, kind),
        shape: kindShape(matrix.numbers, kind),
      })),
    );
    this.base = this.withBlocks(base);
  }

  public forward(): ForwardGraph {
    const { base, output, straightThrough } = this;
    return { graph: GraphBuilder.over('model', base), output, buffers: {}, straightThrough };
  }

  public async initial(): Promise<Readonly<Record<string, Tensor>>> {
    return Promise.resolve(
      Object.fromEntries(
        this.matrices.flatMap((matrix) =>
          presentKinds(matrix).map((kind) => [
            parameterName(matrix, kind),
            floatTensor(initialNumbers(matrix, kind), kindShape(matrix.numbers, kind)),
          ]),
        ),
      ),
    );
  }

  /** Numbers of a matrix's blocks that the values of its parameters stand for. */
  public trainedNumbers(
    { name, numbers }: BlockMatrix,
    values: (parameter: string) => Float32Array | undefined,
  ): BlockNumbers {
    const found = kinds.flatMap((kind) => {
      const own = numbers[kind] === undefined ? undefined : values(parameterName({ name }, kind));
      if (own === undefined) {
        return [];
      }
      const factors = unitFactors(numbers, kind);
      const bounds = boundsOf(numbers, kind);
      const [least, greatest] = bounds ?? [0, 0];
      const steps = stepCount(kind);
      const stored = (value: number): number =>
        bounds === undefined
          ? value
          : Math.min(Math.max(roundEven(value / steps), least), greatest);
      return [
        [
          kind,
          own.map((value, i) => (factors ? value * (factors[i] ?? 0) : stored(value))),
        ] as const,
      ];
    });
    return { ...numbers, ...Object.fromEntries(found) };
  }

  private withBlocks(base: GraphBase): GraphBase {
    const replaced = new Set(this.matrices.map(({ name }) => name));
    const builder = GraphBuilder.over('blocks', {
      ...base,
      nodes: [],
      reserved: base.nodes.flatMap(({ name, output }) => [name, ...output]),
    });
    const nodes = this.matrices.flatMap((matrix) => {
      const { result, nodes: own } = builder.recorded(() =>
        builder.within(`${matrix.name}/blocks`, () => this.emitMatrix(builder, matrix)),
      );
      return renameOutputs(own, [result], [matrix.name]);
    });
    const known = new Set(base.weights.map(({ name }) => name));
    return {
      ...base,
      nodes: [...nodes, ...base.nodes],
      inputs: [
        ...base.inputs,
        ...this.parameters.map(({ name, shape }) => valueInfo(name, DataType.FLOAT, shape)),
      ],
      constants: builder.graph.initializer.filter(({ name }) => !known.has(name)),
      weights: base.weights.filter(({ name }) => !replaced.has(name)),
    };
  }

  private emitMatrix(graph: GraphBuilder, matrix: BlockMatrix): Value {
    const { numbers, shape } = matrix;
    const value = (kind: Kind): Value | undefined =>
      numbers[kind] === undefined
        ? undefined
        : this.emitStored(graph, parameterName(matrix, kind), numbers, kind);
    const product = (a: Value | undefined, b: Value | undefined): Value | undefined =>
      a === undefined || b === undefined ? (a ?? b) : graph.op('Mul', [a, b]);
    const scale = product(value('units'), value('scales'));
    const offset = product(value('offsetUnits'), value('offsets'));
    const scaled = product(scale, value('codes')) ?? '';
    const weights = offset === undefined ? scaled : graph.op('Add', [scaled, offset]);
    return graph.op('Reshape', [weights, graph.ints(shape)]);
  }

  /** Emits the numbers as a file stores them. */
  private emitStored(graph: GraphBuilder, name: string, numbers: BlockNumbers, kind: Kind): Value {
    const factors = unitFactors(numbers, kind);
    const bounds = boundsOf(numbers, kind);
    if (factors !== undefined) {
      const units = graph.floats(factors, kindShape(numbers, kind));
      const half = graph.op('Cast', [graph.op('Mul', [name, units])], { to: DataType.FLOAT16 });
      const steps = graph.op('Div', [graph.op('Cast', [half], { to: DataType.FLOAT }), units]);
      this.straightThrough.set(name, steps);
      return graph.op('Mul', [steps, units]);
    }
    if (bounds === undefined) {
      return name;
    }
    const [least, greatest] = bounds.map((bound) => graph.scalar(bound));
    const steps = stepCount(kind);
    const latent = steps === 1 ? name : graph.op('Mul', [name, graph.scalar(1 / steps)]);
    const integers = graph.op('Clip', [graph.op('Round', [latent]), least ?? '', greatest ?? '']);
    this.straightThrough.set(name, integers);
    return integers;
  }
}

const parameterName = ({ name }: Pick<BlockMatrix, 'name'>, kind: Kind): string =>
  `${name}/${kind}`;

/** Kinds that the type of a matrix has. */
const presentKinds = ({ numbers }: BlockMatrix): Kind[] =>
  kinds.filter((kind) => numbers[kind] !== undefined);

/** Selects the parameters to train: all but values of a code book, which can't change by small steps. */
export function isTrainedParameter({ matrices }: BlockModel): (name: string) => boolean {
  const fixed = new Set(
    matrices
      .filter(({ numbers: { type } }) => blockCodecs[type].book !== undefined)
      .map((matrix) => parameterName(matrix, 'codes')),
  );
  return (name) => !fixed.has(name);
}

function kindShape({ shape: [blocks, groups, width] }: BlockNumbers, kind: Kind): number[] {
  return [
    blocks,
    kind === 'units' || kind === 'offsetUnits' ? 1 : groups,
    kind === 'codes' ? width : 1,
  ];
}

/** Bounds of integers; undefined for other numbers. */
function boundsOf({ type }: BlockNumbers, kind: Kind): readonly [number, number] | undefined {
  const { range, book, multiples } = blockCodecs[type];
  return kind === 'codes'
    ? book === undefined
      ? range
      : undefined
    : kind === 'scales'
      ? multiples?.scale
      : kind === 'offsets'
        ? multiples?.offset
        : undefined;
}

/** Factors that turn parameters of units into units; undefined for other numbers. */
function unitFactors(numbers: BlockNumbers, kind: Kind): Float32Array | undefined {
  return kind === 'units' || kind === 'offsetUnits'
    ? numbers[kind]?.map((unit) => (unit === 0 ? smallestUnit : unit) / unitSteps)
    : undefined;
}

function initialNumbers({ numbers, original }: BlockMatrix, kind: Kind): Float32Array {
  if (kind === 'units' || kind === 'offsetUnits') {
    return new Float32Array(elementCount(kindShape(numbers, kind))).fill(unitSteps);
  }
  const stored = numbers[kind] ?? new Float32Array();
  if (kind !== 'codes' || boundsOf(numbers, kind) === undefined) {
    return Float32Array.from(stored);
  }
  const { shape, units, scales, offsetUnits, offsets } = numbers;
  const [, groups, width] = shape;
  return stored.map((code, i) => {
    const group = Math.floor(i / width);
    const block = Math.floor(group / groups);
    const scale = (units[block] ?? 0) * (scales?.[group] ?? 1);
    const offset = (offsetUnits?.[block] ?? 0) * (offsets?.[group] ?? 1);
    const distance = scale === 0 ? 0 : ((original[i] ?? 0) - offset) / scale - code;
    return codeSteps * (code + (Math.abs(distance) > 0.5 ? 0 : startShare * distance));
  });
}

/** Steps of an integer's parameter between two integers. */
const stepCount = (kind: Kind): number => (kind === 'codes' ? codeSteps : 1);

/** Rounds as ONNX does: halves to the nearest even integer. */
function roundEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

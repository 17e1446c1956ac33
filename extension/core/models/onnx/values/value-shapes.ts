import type { Dimension } from '../../../onnx/graph-builder';
import type {
  GraphProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../../onnx/proto/onnx_pb';
import { operatorName, intAttribute, tensorAttribute } from '../graph-index';
import type { GraphIndex } from '../graph-index';
import { shapeRules } from './shape-rules';
import type { Shape, ShapeQuery } from './shape-query';
import {
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
} from '../../../onnx/proto/onnx_pb';

/** Shapes of a graph's values, as far as they follow from the declared ones, and short contents. */
export class ValueShapes {
  private readonly shapes = new Map<string, Shape>();
  private readonly known = new Map<string, readonly Dimension[]>();
  /** Values known to be floating-point. */
  private readonly floats = new Set<string>();
  private counter = 0;

  public constructor(graph?: GraphProto, index?: Pick<GraphIndex, 'nodes'>) {
    if (graph !== undefined) {
      for (const info of [...graph.valueInfo, ...graph.output, ...graph.input]) {
        this.declare(info);
      }
      graph.initializer.forEach((tensor) => {
        this.initialize(tensor);
      });
    }
    for (const { proto } of index?.nodes ?? []) {
      this.infer(proto);
    }
  }

  public set(value: string, shape: Shape): void {
    this.shapes.set(value, shape);
  }

  public initialize(tensor: TensorProto): void {
    this.shapes.set(tensor.name, tensor.dims.map(Number));
    this.learn(tensor.name, tensorNumbers(tensor), isFloatType(tensor.dataType));
  }

  /** Undefined if even the rank is unknown. */
  public of(value: string): Shape | undefined {
    return this.shapes.get(value);
  }

  /** Elements of a short tensor, if they are statically known. */
  public contents(value: string): readonly Dimension[] | undefined {
    return this.known.get(value);
  }

  /** Value of a constant with one element. */
  public number(value: string): number | undefined {
    const contents = this.contents(value);
    const [only] = contents ?? [];
    return contents?.length === 1 && typeof only === 'number' ? only : undefined;
  }

  private declare({ name, type }: ValueInfoProto): void {
    const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
    if (tensor?.shape === undefined) {
      return;
    }
    const sizes = tensor.shape.dim.map(({ value }) => {
      if (value.case === 'dimValue') {
        return Number(value.value);
      }
      return value.case === 'dimParam' && value.value !== '' ? value.value : this.fresh();
    });
    this.shapes.set(name, sizes);
  }

  /** Infers the shapes of a node's outputs. Nodes must be passed in topological order. */
  public infer(node: NodeProto): void {
    const at = (place: number): string => node.input[place] ?? '';
    const query: ShapeQuery = {
      node,
      shape: (place) => this.shapes.get(at(place)),
      contents: (place) => this.known.get(at(place)),
      isFloat: (place) => this.floats.has(at(place)),
      fresh: () => this.fresh(),
    };
    const operator = operatorName(node);
    const shapes = shapeRules[operator]?.(query) ?? [];
    node.output.forEach((output, place) => {
      const shape = shapes[place];
      if (output !== '' && shape !== undefined) {
        // A declared number says more than a name, and a name of the rules more than a declared one.
        const declared = this.shapes.get(output);
        this.shapes.set(
          output,
          shape.map((size, axis) => (typeof declared?.[axis] === 'number' ? declared[axis] : size)),
        );
      }
    });
    const [output = ''] = node.output;
    if (output !== '') {
      const constant = operator === 'Constant' ? tensorAttribute(node, 'value') : undefined;
      if (constant === undefined) {
        const isFloat =
          operator === 'Cast'
            ? isFloatType(intAttribute(node, 'to', 0))
            : node.input.some((input) => this.floats.has(input));
        this.learn(output, contentRules[operator]?.(query), isFloat);
      } else {
        this.learn(output, tensorNumbers(constant), isFloatType(constant.dataType));
      }
    }
  }

  private learn(value: string, contents: readonly Dimension[] | undefined, isFloat: boolean): void {
    if (contents !== undefined) {
      this.known.set(value, contents);
      if (isFloat) {
        this.floats.add(value);
      }
    }
  }

  private fresh(): string {
    return `?${this.counter++}`;
  }
}

type Contents = readonly Dimension[] | undefined;
type ContentRule = (query: ShapeQuery) => Contents;

const same: ContentRule = ({ contents }) => contents(0);

/** Arithmetic on sizes, if all are known numbers, or one is the `neutral` element. */
function arithmetic(compute: (a: number, b: number) => number, neutral: number): ContentRule {
  return (query) => {
    const [a, b] = [query.contents(0), query.contents(1)];
    if (
      a === undefined ||
      b === undefined ||
      (a.length > 1 && b.length > 1 && a.length !== b.length)
    ) {
      return undefined;
    }
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
      const [x, y] = [a[a.length === 1 ? 0 : i], b[b.length === 1 ? 0 : i]];
      if (typeof x === 'number' && typeof y === 'number') {
        return compute(x, y);
      }
      return (y === neutral ? x : x === neutral ? y : undefined) ?? query.fresh();
    });
  };
}

/** 1 if two sizes are equal, else 0; undefined if unknown. Named sizes are never negative. */
function equal(a: Dimension, b: Dimension): number | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    return Number(a === b);
  }
  const isNegative = [a, b].some((one) => typeof one === 'number' && one < 0);
  return a === b ? 1 : isNegative ? 0 : undefined;
}

/** Rule that returns 1 or 0 if both values are known. */
function compared(holds: (a: number, b: number) => boolean): ContentRule {
  return ({ contents, fresh }) =>
    each([contents(0), contents(1)])?.map(([a, b]) =>
      typeof a === 'number' && typeof b === 'number' ? Number(holds(a, b)) : fresh(),
    );
}

/** Elements of values of one length, or of one element for all. */
function each(all: readonly Contents[]): readonly (readonly Dimension[])[] | undefined {
  const known = all.filter((one) => one !== undefined);
  const length = Math.max(...known.map((one) => one.length));
  return known.length === all.length && known.every((one) => [1, length].includes(one.length))
    ? Array.from({ length }, (_, i) => known.map((one) => one[one.length === 1 ? 0 : i] ?? 0))
    : undefined;
}

function numbers(values: Contents): number[] | undefined {
  const found = values?.filter((value) => typeof value === 'number');
  return found?.length === values?.length ? found : undefined;
}

/** Elements of short one-dimensional values, by operator. */
const contentRules: Readonly<Record<string, ContentRule>> = {
  Identity: same,
  Cast: ({ node, contents, isFloat }) =>
    isFloat(0) && !isFloatType(intAttribute(node, 'to', 0))
      ? contents(0)?.map((value) => (typeof value === 'number' ? Math.trunc(value) : value))
      : contents(0),
  Squeeze: same,
  Unsqueeze: same,
  Reshape: same,
  Add: arithmetic((a, b) => a + b, 0),
  Sub: arithmetic((a, b) => a - b, Number.NaN),
  Mul: arithmetic((a, b) => a * b, 1),
  Div: ({ contents, fresh, isFloat }) =>
    each([contents(0), contents(1)])?.map(([a, b]) => {
      const exact = Number(a) / Number(b);
      const ratio = isFloat(0) ? exact : Math.trunc(exact);
      return Number.isFinite(ratio) ? ratio : fresh();
    }),
  Mod: ({ node, contents, fresh }) =>
    each([contents(0), contents(1)])?.map(([a, b]) => {
      const left = Number(a) % Number(b);
      // With the sign of the divisor; with `fmod`, that of the dividend.
      const rest = intAttribute(node, 'fmod', 0) === 1 ? left : (left + Number(b)) % Number(b);
      return Number.isNaN(rest) ? fresh() : rest;
    }),
  Not: ({ contents, fresh }) =>
    contents(0)?.map((value) => (typeof value === 'number' ? 1 - value : fresh())),
  Shape: ({ node, shape }) => {
    const end = intAttribute(node, 'end', Number.MAX_SAFE_INTEGER);
    return shape(0)?.slice(intAttribute(node, 'start', 0), end);
  },
  ConstantOfShape: ({ node, contents }) => {
    const [length = 1, ...others] = contents(0) ?? [''];
    const value = tensorAttribute(node, 'value');
    const [filled = 0] = value === undefined ? [] : (tensorNumbers(value) ?? []);
    return typeof length === 'number' && length <= mostNumbers && others.length === 0
      ? Array.from({ length }, () => filled)
      : undefined;
  },
  Equal: ({ contents, fresh }) =>
    each([contents(0), contents(1)])?.map(([a = 0, b = 0]) => equal(a, b) ?? fresh()),
  Less: compared((a, b) => a < b),
  LessOrEqual: compared((a, b) => a <= b),
  Greater: compared((a, b) => a > b),
  GreaterOrEqual: compared((a, b) => a >= b),
  Where: ({ contents, fresh }) =>
    each([contents(0), contents(1), contents(2)])?.map(([which, a = 0, b = 0]) =>
      typeof which === 'number' ? (which === 1 ? a : b) : fresh(),
    ),
  Concat: ({ node, contents }) => {
    const parts = node.input.map((_, place) => contents(place));
    const found = parts.filter((part) => part !== undefined);
    return found.length === parts.length ? found.flat() : undefined;
  },
  Gather: ({ contents }) => {
    const [values, indices] = [contents(0), numbers(contents(1))];
    if (values === undefined || indices === undefined) {
      return undefined;
    }
    const chosen = indices.map((index) => values.at(index));
    const found = chosen.filter((value) => value !== undefined);
    return found.length === chosen.length ? found : undefined;
  },
  Slice: ({ node, contents }) => {
    const values = contents(0);
    const [starts, ends] = [numbers(contents(1)), numbers(contents(2))];
    const steps = node.input.length > 4 ? numbers(contents(4)) : [1];
    const [start, end] = [starts?.[0], ends?.[0]];
    const simple = start !== undefined && end !== undefined && steps?.[0] === 1;
    return simple ? values?.slice(start, end) : undefined;
  },
};

/** Maximum length of tensors whose values matter: shapes, axes, factors. */
const mostNumbers = 64;

/** Encoding of an element type in raw_data and in its typed field. */
interface NumberForm {
  readonly bytes: number;
  readonly read: (view: DataView, offset: number) => number;
  readonly listed: (tensor: TensorProto) => readonly (number | bigint)[];
}

const numberForm = (
  bytes: number,
  read: NumberForm['read'],
  field: 'floatData' | 'doubleData' | 'int32Data' | 'int64Data',
): NumberForm => ({ bytes, read, listed: (tensor) => tensor[field] });

const forms: Readonly<Record<number, NumberForm>> = {
  [DataType.FLOAT]: numberForm(4, (view, at) => view.getFloat32(at, true), 'floatData'),
  [DataType.DOUBLE]: numberForm(8, (view, at) => view.getFloat64(at, true), 'doubleData'),
  [DataType.INT32]: numberForm(4, (view, at) => view.getInt32(at, true), 'int32Data'),
  [DataType.INT64]: numberForm(8, (view, at) => Number(view.getBigInt64(at, true)), 'int64Data'),
  [DataType.BOOL]: numberForm(1, (view, at) => view.getUint8(at), 'int32Data'),
};

const floatTypes: readonly number[] = [
  DataType.FLOAT,
  DataType.DOUBLE,
  DataType.FLOAT16,
  DataType.BFLOAT16,
];

/** True for element types of floating-point numbers. */
const isFloatType = (dataType: number): boolean => floatTypes.includes(dataType);

/** Values of a short tensor stored in the graph; undefined for all others. */
export function tensorNumbers(tensor: TensorProto): number[] | undefined {
  const count = tensor.dims.reduce((product, size) => product * Number(size), 1);
  const form = forms[tensor.dataType];
  if (form === undefined || count > mostNumbers || tensor.dataLocation === DataLocation.EXTERNAL) {
    return undefined;
  }
  const { buffer, byteOffset, byteLength } = tensor.rawData;
  const view = new DataView(buffer, byteOffset, byteLength);
  const numbers =
    byteLength === count * form.bytes
      ? Array.from({ length: count }, (_, i) => form.read(view, i * form.bytes))
      : form.listed(tensor).map(Number);
  return numbers.length === count ? numbers : undefined;
}

import type { Dimension } from '../../../onnx/graph-builder';
import type {
  GraphProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../../onnx/proto/onnx_pb';
import { operatorName, intAttribute, tensorAttribute } from '../graph-index';
import type { GraphIndex } from '../graph-index';
import { contentRules } from './content-rules';
import { shapeRules } from './shape-rules';
import { isFloatType, tensorNumbers } from './tensor-numbers';
import type { Shape, ShapeQuery } from './shape-query';

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

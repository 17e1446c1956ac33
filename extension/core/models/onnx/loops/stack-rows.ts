import { create } from '@bufbuild/protobuf';
import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import { say } from '../../../message';
import type { Message } from '../../../message';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import { attribute, copyWith } from '../../../onnx/messages';
import { NodeProtoSchema } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { freeName } from '../edits/graph-additions';
import { GraphIndex, operatorName } from '../graph-index';
import { ValueShapes } from '../values/value-shapes';
import { layouts, rowRules, findRows, rowSizes } from './row-rules';
import type { RowQuery, Rows } from './row-rules';

/** Bytes of a stored weight that lie together in its file, as a tensor. */
interface StackView {
  readonly stack: OnnxInitializer;
  /** Byte offset in the stack. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly dims: readonly number[];
  /** Distinguishes weights of the same bytes that must not be shared. */
  readonly copy?: number;
}

/** Rank of a stack of matrices. */
export const stackRank = 3;
/** Smallest rank that is cut. Vectors are small, and shapes may depend on them. */
const leastRank = 2;

/**
 * Slices of stacks in the steps of a loop. Slices of a stored stack are ranges of its bytes. Nodes between stack and
 * slice are applied to the slice.
 */
export class StackRows {
  /** Nodes that change parts of stacks. */
  public readonly nodes: NodeProto[] = [];
  /** Reason why a stack can't be cut. */
  public problem: Message | undefined;
  private readonly shapes: ValueShapes;
  private readonly index: GraphIndex;
  private readonly initializers: OnnxFile['initializers'];
  /** Replacements of the outputs of slicing nodes. */
  private readonly parts = new Map<string, string>();
  private readonly views = new Map<string, StackView>();
  private readonly sizes = new Map<string, readonly number[]>();
  private readonly makers = new Map<string, NodeProto>();
  private readonly known = new Map<string, string | undefined>();
  private readonly named = new Map<string, string>();

  /**
   * @param graph The main graph with the nodes of all steps, and the constants of `builder`
   * @param steps Their number
   * @param names All that are taken
   */
  public constructor(
    file: OnnxFile,
    graph: GraphProto,
    private readonly steps: number,
    private readonly builder: GraphBuilder,
    private readonly names: Set<string>,
  ) {
    this.index = new GraphIndex(graph, file.path);
    this.shapes = new ValueShapes(graph, this.index);
    this.initializers = file.initializers;
  }

  /** True if one of the parts is a matrix. */
  public get holdMatrices(): boolean {
    return [...this.parts.values()].some((part) => isMatrix(this.dims(part) ?? []));
  }

  /** Looks at a node of the steps, in their order. */
  public follow(node: NodeProto): void {
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    const data = this.standIn(input);
    const dims = this.dims(data);
    const part = dims === undefined ? undefined : this.partOf(node, data, dims);
    if (part !== undefined) {
      this.parts.set(output, part);
    }
  }

  /** Returns the replacement of a value: part of a stack for the output of a slicing node. */
  public standIn(value: string): string {
    return this.parts.get(value) ?? value;
  }

  /** Name of the weight for a slice of a stored stack, or of the value that {@link standIn} returns. */
  public nodeName(part: string): string {
    const view = this.views.get(part);
    return view === undefined ? part : this.weightOf(part, view);
  }

  private partOf(node: NodeProto, data: string, dims: readonly number[]): string | undefined {
    const view = this.views.get(data);
    const laidOut = this.dims(node.output[0] ?? '');
    if (view !== undefined && laidOut !== undefined && layouts.has(operatorName(node))) {
      return this.place({ ...view, dims: laidOut });
    }
    const rows = dims.length < leastRank ? undefined : findRows(node, dims, this.shapes);
    return rows === undefined || !this.isConstant(data) ? undefined : this.findRows(data, rows);
  }

  private isConstant(value: string): boolean {
    return this.views.has(value) || this.makers.has(value) || this.index.constants.has(value);
  }

  private dims(value: string): readonly number[] | undefined {
    const known = this.sizes.get(value) ?? this.views.get(value)?.dims;
    const shape = known ?? this.shapes.of(value);
    const sizes = shape?.filter((size) => typeof size === 'number');
    return sizes?.length === shape?.length ? sizes : undefined;
  }

  private findRows(value: string, rows: Rows): string | undefined {
    const { axis, first, count, dropped } = rows;
    const key = `${value} ${axis} ${first} ${count} ${dropped}`;
    if (!this.known.has(key)) {
      this.known.set(key, this.cut(value, rows));
    }
    return this.known.get(key);
  }

  private cut(value: string, rows: Rows): string | undefined {
    const dims = this.dims(value);
    if (
      dims === undefined ||
      rows.first < 0 ||
      rows.count < 1 ||
      rows.first + rows.count > (dims[rows.axis] ?? 0)
    ) {
      return undefined;
    }
    const view = this.viewOf(value);
    if (view !== undefined) {
      const range = rowRange(view, rows);
      if (range === undefined) {
        this.refuse(view.stack.name, rows, dims);
      }
      return range && this.place(range);
    }
    const node = this.makers.get(value) ?? this.index.producers.get(value)?.proto;
    const rule = node === undefined ? undefined : rowRules[operatorName(node)];
    if (node === undefined || node.output[0] !== value || !this.isConstant(value)) {
      return undefined;
    }
    const found = rule?.(this.queryOf(node, rows, dims));
    if (found === undefined) {
      this.refuse(value, rows, dims, node);
    }
    return found;
  }

  private queryOf(node: NodeProto, rows: Rows, result: readonly number[]): RowQuery {
    return {
      node,
      rows,
      result,
      dims: (value) => this.dims(value),
      findRows: (value, inner) => this.findRows(value, inner) ?? this.taken(value, inner),
      copyOf: (value) => {
        const view = fullView(this.initializers.get(value));
        return view === undefined ? value : this.place({ ...view, copy: this.views.size });
      },
      make: (input, dims, changes = {}) => {
        const others = node.attribute.filter(({ name }) => !(name in changes));
        const added = Object.entries(changes).map(([name, given]) => attribute(name, given));
        return this.add(node, { input: [...input], attribute: [...others, ...added] }, dims);
      },
      reshaped: (value, dims) => this.reshaped(value, dims),
    };
  }

  private add(
    node: NodeProto,
    changes: Partial<Pick<NodeProto, 'opType' | 'input' | 'attribute'>>,
    dims: readonly number[],
  ): string {
    const output = freeName(`${node.output[0] ?? ''}.part`, this.names);
    const made = copyWith(node, { ...changes, name: output, output: [output] });
    this.nodes.push(made);
    this.makers.set(output, made);
    this.sizes.set(output, dims);
    return output;
  }

  /** View of a stored weight, also through reshapes. */
  private viewOf(value: string): StackView | undefined {
    const stored = this.views.get(value) ?? fullView(this.initializers.get(value));
    const node = this.index.producers.get(value)?.proto;
    if (stored !== undefined || node === undefined || !layouts.has(operatorName(node))) {
      return stored;
    }
    const [inner, dims] = [this.viewOf(node.input[0] ?? ''), this.dims(value)];
    return inner === undefined || dims === undefined ? undefined : { ...inner, dims };
  }

  /** Emits a Gather for small constants of a stack, such as scales. */
  private taken(value: string, { axis, first, count, dropped }: Rows): string | undefined {
    const dims = this.dims(value);
    if (dims === undefined || count !== 1 || !this.isConstant(value) || this.holdsStack(value)) {
      return undefined;
    }
    const node = create(NodeProtoSchema, { opType: 'Gather', output: [value] });
    const input = [value, this.builder.ints([first], dropped ? [] : [1])];
    const rows = { axis, first, count, dropped };
    return this.add(node, { input, attribute: [attribute('axis', axis)] }, rowSizes(dims, rows));
  }

  private reshaped(value: string, dims: readonly number[]): string {
    const view = this.views.get(value);
    if (view !== undefined) {
      return this.place({ ...view, dims });
    }
    if (this.dims(value)?.join() === dims.join()) {
      return value;
    }
    const node = create(NodeProtoSchema, { opType: 'Reshape', output: [value] });
    return this.add(node, { input: [value, this.builder.ints(dims)] }, dims);
  }

  private place(view: StackView): string {
    const { stack, offset, length, dims, copy } = view;
    const key = `\0${stack.name} ${offset} ${length} ${dims.join()} ${copy ?? ''}`;
    this.views.set(key, view);
    return key;
  }

  /** True if a constant is computed from a stored stack. */
  private holdsStack(value: string): boolean {
    const seen = new Set<string>();
    const open = [value];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (!seen.has(name)) {
        seen.add(name);
        const dims = (this.views.get(name)?.stack ?? this.initializers.get(name))?.dims ?? [];
        if (dims.length >= stackRank && isMatrix(dims.slice(1))) {
          return true;
        }
        const maker = this.makers.get(name) ?? this.index.producers.get(name)?.proto;
        open.push(...(maker?.input ?? []));
      }
    }
    return false;
  }

  /** Remembers why matrices of the steps' own cannot be cut out of a stack. */
  private refuse(
    name: string,
    { axis, count }: Rows,
    dims: readonly number[],
    node?: NodeProto,
  ): void {
    const isWanted = this.steps > 1 && dims[axis] === this.steps && count === 1;
    if (isWanted && dims.length >= stackRank && this.holdsStack(name)) {
      this.problem ??=
        node === undefined
          ? say`its steps read ${name} along axis ${axis}, and only axis 0 is contiguous in the file`
          : say`its steps read ${name}, which ${node.opType} computes from whole stacks`;
    }
  }

  private weightOf(key: string, { stack, offset, length, dims, copy }: StackView): string {
    const known = this.named.get(key);
    if (known !== undefined) {
      return known;
    }
    const { file, dataType } = stack;
    const place = { file, offset: stack.offset + offset, length };
    const same =
      copy === undefined ? sameWeight(this.initializers, { ...place, dataType, dims }) : undefined;
    const name =
      same ??
      this.builder.weight({
        name: freeName(`${stack.name}.${offset / length}`, this.names),
        dataType,
        shape: dims,
        ...place,
      });
    this.named.set(key, name);
    return name;
  }
}

/** Existing weight in the file with the same bytes, for example from the loop in the other branch of an If. */
function sameWeight(
  initializers: OnnxFile['initializers'],
  wanted: Pick<OnnxInitializer, 'file' | 'offset' | 'length' | 'dataType' | 'dims'>,
): string | undefined {
  const { file, offset, length, dataType, dims } = wanted;
  return [...initializers.values()].find(
    (one) =>
      one.offset === offset &&
      one.length === length &&
      one.file === file &&
      one.dataType === dataType &&
      one.dims.join() === dims.join(),
  )?.name;
}

/** Undefined for weights that ONNX Runtime cannot read in parts. */
function fullView(stack: OnnxInitializer | undefined): StackView | undefined {
  return stack?.mappable === true
    ? { stack, offset: 0, length: stack.length, dims: stack.dims }
    : undefined;
}

/** View of a range; undefined if it isn't contiguous or doesn't begin at a byte. */
function rowRange(view: StackView, rows: Rows): StackView | undefined {
  const { axis, first, count } = rows;
  const bytes = view.length / (view.dims[axis] ?? 0);
  return view.dims.slice(0, axis).some((size) => size !== 1) || !Number.isInteger(bytes)
    ? undefined
    : {
        ...view,
        offset: view.offset + first * bytes,
        length: count * bytes,
        dims: rowSizes(view.dims, rows),
      };
}

function isMatrix(dims: readonly number[]): boolean {
  return dims.filter((size) => size > 1).length > 1;
}

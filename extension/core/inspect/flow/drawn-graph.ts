import { say, verbatim } from '../../message';
import type { Message } from '../../message';
import type { LinearLayer } from '../../models/matrix-encoding';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { GraphBuilder } from '../../onnx/graph-builder';
import type {
  DataType,
  Dimension,
  ExternalData,
  StoredRows,
  Value,
} from '../../onnx/graph-builder';
import type { NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';
import { isGroup } from './flow-document';
import type { FlowEdge, FlowGroup, FlowItem, FlowKind } from './flow-document';
import { inputLabels, operatorLabels, stepLabels } from './step-labels';
import type { StoredTensor } from '../model-description';

/** Operators that only move numbers. Readers of their outputs are drawn as readers of their inputs. */
const movingOperators = new Set([
  ...['Reshape', 'Transpose', 'Split', 'Slice', 'Squeeze', 'Unsqueeze', 'Cast', 'Expand'],
  ...['Identity', 'Gather', 'Pad', 'Flatten'],
]);

/** Operators that are drawn only if they join several drawn values. */
const joiningOperators = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Concat', 'Where', 'Min', 'Max', 'Pow', 'Clip', 'MatMul'],
]);

/** A frame of the diagram. */
export class Frame {
  public readonly items: (Box | Frame)[] = [];

  public constructor(
    public readonly id: string,
    public readonly kind: FlowGroup['kind'],
    public readonly label: Message,
    public readonly detail?: Message,
    /** Details of the boxes in it, by the names of their steps. */
    public readonly details: Readonly<Record<string, Message | undefined>> = {},
  ) {}

  public get children(): FlowItem[] {
    const isExpert = (item: Box | Frame | undefined): boolean =>
      item instanceof Frame && /\/expert\.\d+$/.test(item.id);
    const first = this.items.findIndex(isExpert);
    const items = this.items.map((item) => (item instanceof Box ? item.toNode() : item.toGroup()));
    if (first < 0) {
      return items;
    }
    const experts = items.filter((_, i) => isExpert(this.items[i])).filter(isGroup);
    const run: FlowGroup = {
      ...{ id: `${this.id}/experts`, kind: 'run', shown: 1, children: experts },
      label: say`Experts 0 to ${experts.length - 1}`,
      ...(this.detail === undefined ? {} : { detail: this.detail }),
    };
    return [
      ...items.slice(0, first),
      run,
      ...items.slice(first).filter((_, i) => !isExpert(this.items[first + i])),
    ];
  }

  public toGroup(): FlowGroup {
    const { id, kind, label, children } = this;
    const inner = this.items.find((item) => item instanceof Box && item.name === 'down');
    const width = inner instanceof Box ? inner.inputWidth : undefined;
    const detail = this.detail ?? (width === undefined ? undefined : say`${width} wide`);
    return {
      ...{ id, kind, label, children },
      ...(kind === 'part' ? {} : { row: id }),
      ...(detail === undefined ? {} : { detail }),
    };
  }

  /** An identifier that no other box in the frame has. */
  public freeId(name: string): string {
    const id = `${this.id}/${name}`;
    const count = this.items.filter((item) => item instanceof Box && item.base === id).length;
    return count === 0 ? id : `${id}-${count + 1}`;
  }
}

/** Origin of a value: the boxes that compute it, or else the stored tensors that it follows from. */
interface Origin {
  readonly boxes: ReadonlySet<Box>;
  readonly tensors: ReadonlySet<string>;
  /** Step that computes it from tensors only, such as a position embedding. */
  readonly step?: string | Message | undefined;
}

const nowhere: Origin = { boxes: new Set(), tensors: new Set() };

/** The union of sets; the only one that has elements, if there is just one. */
function union<T>(sets: readonly ReadonlySet<T>[]): ReadonlySet<T> {
  const [first = new Set<T>(), ...others] = sets.filter(({ size }) => size > 0);
  return others.every((other) => other === first)
    ? first
    : new Set([first, ...others].flatMap((set) => [...set]));
}

/** A box of the diagram. */
export class Box {
  public readonly id: string;
  public readonly base: string;
  /** Names of the tensors that it reads. */
  public readonly tensors = new Set<string>();
  public readonly sources = new Set<Box>();
  /** Origin of its outputs. */
  public readonly origin: Origin = { boxes: new Set([this]), tensors: nowhere.tensors };
  /** Shape of its output, if known. */
  public shape: readonly Dimension[] | undefined;
  /** Width of the input of a linear layer. */
  public inputWidth: number | undefined;

  public constructor(
    frame: Frame,
    public readonly name: string,
    private readonly label: Message,
    private readonly kind: FlowKind | undefined,
    public detail: Message | undefined,
  ) {
    this.id = frame.freeId(name);
    this.base = `${frame.id}/${name}`;
  }

  public toNode(): FlowItem {
    const { id, label, detail, tensors } = this;
    const { kind = tensors.size === 0 ? 'operator' : 'weights' } = this;
    return {
      ...{ id, label, kind, tensors: [...tensors] },
      ...(detail === undefined ? {} : { detail }),
    };
  }
}

interface Step {
  readonly name: string | Message;
  weight?: string;
  box?: Box;
}

/** Names of tensors as the files have them, which a model may call otherwise. */
export class StoredNames {
  private readonly byFile = new Map<string, StoredTensor[]>();

  public constructor(tensors: readonly StoredTensor[]) {
    for (const tensor of tensors) {
      const list = this.byFile.get(tensor.file) ?? [];
      this.byFile.set(tensor.file, list);
      list.push(tensor);
    }
    for (const list of this.byFile.values()) {
      list.sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
    }
  }

  /** Name of the stored tensor that contains `tensor`. */
  public find({ file, offset }: Pick<StoredRows, 'file' | 'offset'>): string | undefined {
    const list = this.byFile.get(file) ?? [];
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((list[middle]?.offset ?? 0) <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const found = list[low - 1];
    const begin = found?.offset;
    return found !== undefined && begin !== undefined && offset - begin < Math.max(1, found.bytes)
      ? found.name
      : undefined;
  }
}

/** A graph that is not run but drawn: emission adds boxes and edges to it. Weights are neither read nor decoded. */
export class DrawnGraph extends GraphBuilder {
  public readonly whole = new Frame('model', 'part', verbatim('model'));
  public readonly edges: FlowEdge[] = [];
  public readonly inputBoxes: Box[] = [];
  /** Step name of linear layers outside of the sublayers. */
  public outsideLabel: 'projection' | 'head' = 'projection';
  private readonly shapes = new ValueShapes();
  private readonly origins = new Map<Value, Origin>();
  private readonly once = new Map<string, Box>();
  private frame = this.whole;
  private block: Frame | undefined;
  private sublayer: Frame | undefined;
  private current: Step | undefined;
  /** True in a part that repeats an earlier one: shapes are only inferred in the first. */
  private isRepeated = false;
  private placeholders = 0;
  private readonly layers: ReadonlyMap<string, LinearLayer>;

  public constructor(
    private readonly stored: StoredNames,
    layers: readonly LinearLayer[],
  ) {
    super('diagram');
    this.layers = new Map(layers.map((layer) => [layer.id, layer]));
  }

  /** Draws the nodes that `emit` adds in the frames of a sublayer and its block. */
  public drawSublayer<T>(block: Frame, sublayer: Frame, emit: () => T): T {
    [this.block, this.sublayer, this.frame] = [block, sublayer, block];
    block.items.push(sublayer);
    try {
      return emit();
    } finally {
      [this.block, this.sublayer, this.frame] = [undefined, undefined, this.whole];
    }
  }

  public override within<T>(scope: string, emit: () => T): T {
    return this.drawFrame(scope === this.sublayer?.id ? this.sublayer : this.frame, emit);
  }

  public override step<T>(name: string | Message, emit: () => T): T {
    if (this.current !== undefined) {
      return emit();
    }
    this.current = { name };
    try {
      return emit();
    } finally {
      this.current = undefined;
    }
  }

  public override part<T>(name: string, emit: () => T): T {
    if (this.current !== undefined) {
      return emit();
    }
    const [kind, number = '0'] = name.split('.');
    const label = kind === 'expert' ? say`Expert ${number}` : say`Shared expert`;
    const frame = new Frame(`${this.frame.id}/${name}`, 'part', label);
    this.frame.items.push(frame);
    this.isRepeated = number !== '0';
    const result = this.drawFrame(frame, emit);
    this.isRepeated = false;
    return result;
  }

  public override mark(name: string): void {
    if (this.current !== undefined) {
      this.current.weight ??= name;
    }
  }

  public override input(name: string, _type: DataType, shape?: readonly Dimension[]): Value {
    const box = new Box(this.whole, name, inputLabels[name] ?? verbatim(name), 'input', undefined);
    this.inputBoxes.push(box);
    this.origins.set(name, box.origin);
    if (shape !== undefined) {
      this.shapes.set(name, shape);
    }
    box.shape = this.drawnShape(name);
    return name;
  }

  /** Value that is not drawn, such as a cache. */
  public undrawn(shape: readonly Dimension[]): Value {
    const name = `undrawn_${this.placeholders++}`;
    this.shapes.set(name, shape);
    return name;
  }

  public override weight(data: ExternalData): Value {
    return this.placeholder(data);
  }

  public override placeholder(tensor: Pick<StoredRows, 'shape' | 'file' | 'offset'>): Value {
    const name = this.undrawn(tensor.shape);
    const stored = this.stored.find(tensor);
    if (stored !== undefined) {
      this.origins.set(name, { boxes: nowhere.boxes, tensors: new Set([stored]) });
    }
    return name;
  }

  /** Draws an output of the model. */
  public override output(name: string, value: Value): void {
    const label = stepLabels[name]?.label ?? verbatim(name);
    const box = new Box(this.whole, name, label, 'output', undefined);
    this.whole.items.push(box);
    this.connect(box, this.origins.get(value)?.boxes ?? nowhere.boxes);
  }

  protected override addConstant(key: string, tensor: TensorProto): void {
    super.addConstant(key, tensor);
    this.shapes.initialize(tensor);
  }

  protected override add(node: NodeProto): void {
    if (!this.isRepeated) {
      this.shapes.infer(node);
    }
    // The body of a scan reads values around it.
    const bodies = node.opType === 'Scan' ? node.attribute.flatMap(({ g }) => g?.node ?? []) : [];
    const inputs = [...node.input, ...bodies.flatMap(({ input }) => input)];
    const origin = this.originOf(node, inputs);
    for (const output of node.output) {
      this.origins.set(output, origin);
    }
  }

  private originOf(node: NodeProto, inputs: readonly Value[]): Origin {
    if (node.opType === 'Shape') {
      return nowhere;
    }
    const origins = inputs.flatMap((input) => this.origins.get(input) ?? []);
    const boxes = union(origins.map((origin) => origin.boxes));
    const tensors = union(origins.map((origin) => origin.tensors));
    const step = this.current?.name ?? origins.find((origin) => origin.step !== undefined)?.step;
    if (boxes.size === 0 || this.current?.name === 'side') {
      return { boxes: nowhere.boxes, tensors, step };
    }
    const isMoved = movingOperators.has(node.opType) && tensors.size === 0;
    const box = isMoved ? undefined : this.boxOf(node, boxes.size, tensors.size > 0, step);
    if (box === undefined) {
      return { boxes, tensors };
    }
    tensors.forEach((name) => box.tensors.add(name));
    this.connect(box, boxes);
    box.shape = this.drawnShape(node.output[0] ?? '');
    return box.origin;
  }

  /** The box that a node is drawn as; undefined if it isn't drawn. */
  private boxOf(
    node: NodeProto,
    sources: number,
    readsTensors: boolean,
    step: Origin['step'],
  ): Box | undefined {
    const { current } = this;
    if (current !== undefined) {
      current.box ??= this.stepBox(current);
      return current.box;
    }
    const { opType, input } = node;
    const factor =
      opType === 'Mul'
        ? input.flatMap((name) => this.shapes.number(name) ?? []).find((number) => number !== 1)
        : undefined;
    if (factor !== undefined && !readsTensors) {
      return this.newBox('scale', verbatim(`× ${Number(factor.toPrecision(4))}`), 'combine');
    }
    const joins = joiningOperators.has(opType);
    const known = typeof step === 'string' && readsTensors ? stepLabels[step] : undefined;
    return joins && sources < 2 && !readsTensors
      ? undefined
      : this.newBox(
          opType.toLowerCase(),
          known?.label ?? operatorLabels[opType] ?? verbatim(opType),
          joins && !readsTensors ? 'combine' : undefined,
        );
  }

  private stepBox({ name, weight }: Step): Box {
    if (typeof name === 'object') {
      return this.newBox('step', name);
    }
    if (name === 'linear') {
      return this.linearBox(weight ?? '');
    }
    const { [name]: known = { label: verbatim(name) } } = stepLabels;
    const { outside, block = this.whole } = { outside: this.whole, block: this.block };
    const frame = known.place === undefined ? this.frame : { outside, block }[known.place];
    const key = `${this.sublayer?.id ?? ''}/${name}`;
    const before = known.isOnce === true ? this.once.get(key) : undefined;
    const box = before ?? this.newBox(name, known.label, known.kind, frame);
    this.once.set(key, box);
    return box;
  }

  /** A linear layer is called by its role, or else as in the file. */
  private linearBox(weight: string): Box {
    const layer = this.layers.get(weight);
    const role = this.sublayer === undefined ? this.outsideLabel : (layer?.role ?? 'other');
    const own = /([^.]*\D)(?:\.\d+)*$/.exec(weight.replace(/\.weight$/, ''))?.[1] ?? weight;
    const label = stepLabels[role]?.label;
    const box = label === undefined ? this.newBox(own, verbatim(own)) : this.newBox(role, label);
    box.inputWidth = layer?.in;
    return box;
  }

  private newBox(name: string, label: Message, kind?: FlowKind, frame = this.frame): Box {
    const { [name]: detail } = (this.sublayer ?? frame).details;
    const box = new Box(frame, name, label, kind, detail);
    frame.items.push(box);
    return box;
  }

  private connect(box: Box, sources: ReadonlySet<Box>): void {
    for (const source of sources) {
      if (source !== box && !box.sources.has(source)) {
        box.sources.add(source);
        const { shape } = source;
        this.edges.push({ from: source.id, to: box.id, ...(shape && { shape }) });
      }
    }
  }

  private drawnShape(value: Value): Dimension[] | undefined {
    return this.shapes.of(value)?.flatMap(drawnSizes);
  }

  private drawFrame<T>(frame: Frame, emit: () => T): T {
    const enclosingFrame = this.frame;
    this.frame = frame;
    try {
      return emit();
    } finally {
      this.frame = enclosingFrame;
    }
  }
}

/** Sizes for display: products as separate factors, and a question mark for unknown ones. */
const drawnSizes = (size: Dimension): Dimension[] =>
  typeof size === 'string' ? (size.includes('?') ? ['?'] : size.split('·')) : [size];

import { create } from '@bufbuild/protobuf';
import { DataType } from '../../onnx/graph-builder';
import { attribute, copyWith } from '../../onnx/messages';
import { NodeProtoSchema, TensorProtoSchema } from '../../onnx/proto/onnx_pb';
import type { NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';
import type { ConstantByExpert } from '../../models/onnx/mixtures/constants-by-expert';
import type { Mixture } from '../../models/onnx/mixtures/mixture';
import { withoutExperts } from '../../models/onnx/mixtures/separate-experts';
import type { OnnxModel } from '../../models/onnx/stream/graph-stream';
import type { RemovedBranch } from '../../models/onnx/edits/removal-nodes';
import type { StoredWeight, FileRange } from '../../models/onnx/edits/stored-graph';
import type { OnnxInitializer } from '../../checkpoints/onnx-file';

/** Replacement of a node. */
interface NodeEdit {
  /** Values to read instead, by place; undefined for inputs that go. */
  readonly inputs: Map<number, string | undefined>;
  /** Nodes to insert before and after it. */
  readonly before: NodeProto[];
  readonly after: NodeProto[];
  readonly outputs: Map<string, string>;
  /** New value of the attribute N. */
  count?: number;
}

/** Equal parts along an axis that remain. */
interface KeptParts {
  readonly axis: number;
  /** Number of parts that the axis is divided into. */
  readonly count: number;
  /** Indices of the remaining parts, ascending. */
  readonly remaining: readonly number[];
}

/** Copy of a weight under another name without some parts along an axis; its bytes are copied unchanged. */
function sliceInitializer(
  weight: OnnxInitializer,
  name: string,
  { axis, count, remaining }: KeptParts,
): StoredWeight {
  const share = remaining.length / count;
  const dims = weight.dims.map((size, i) => (i === axis ? size * share : size));
  const rows = weight.dims.slice(0, axis).reduce((product, size) => product * size, 1);
  const sliced = { ...weight, name, dims, length: weight.length * share };
  if (weight.inline !== undefined) {
    const cut = <T>(list: ArrayLike<T>): T[] => {
      const whole = Array.from(list);
      return runs(whole.length, rows, count, remaining).flatMap(({ start, end }) =>
        whole.slice(start, end),
      );
    };
    return { ...sliced, inline: sliceTensor(weight.inline, name, dims, cut) };
  }
  const { file, offset, length } = weight;
  const ranges = runs(length, rows, count, remaining).map(({ start, end }): FileRange => ({
    file,
    offset: offset + start,
    length: end - start,
  }));
  return { ...sliced, ranges };
}

function sliceTensor(
  tensor: TensorProto,
  name: string,
  dims: readonly number[],
  cut: <T>(list: ArrayLike<T>) => T[],
): TensorProto {
  return copyWith(tensor, {
    name,
    dims: dims.map(BigInt),
    rawData: Uint8Array.from(cut(tensor.rawData)),
    floatData: cut(tensor.floatData),
    int32Data: cut(tensor.int32Data),
    int64Data: cut(tensor.int64Data),
    doubleData: cut(tensor.doubleData),
    uint64Data: cut(tensor.uint64Data),
  });
}

/** Remaining runs of `length` elements, in `rows` rows of `count` parts. */
function runs(
  length: number,
  rows: number,
  count: number,
  remaining: readonly number[],
): { start: number; end: number }[] {
  const part = length / (rows * count);
  const found: { start: number; end: number }[] = [];
  for (let row = 0; row < rows && length > 0; row++) {
    for (const place of remaining) {
      const start = (row * count + place) * part;
      const last = found.at(-1);
      if (last?.end === start) {
        last.end = start + part;
      } else {
        found.push({ start, end: start + part });
      }
    }
  }
  return found;
}

/**
 * Changes that remove experts from a graph: rows of the router and of stacked weights, or the nodes
 * and weights of an expert. A table then maps the remaining experts to the numbers used in the
 * graph.
 */
export class ExpertRemoval {
  /** Sums that lose parts. */
  public readonly branches: RemovedBranch[] = [];
  /** Remaining weights and new constants, by name. */
  public readonly weights = new Map<string, StoredWeight>();
  /** Values whose former size is recorded in the graph's value_info. */
  public readonly resized = new Set<string>();
  private readonly edits = new Map<NodeProto, NodeEdit>();
  private readonly sliced = new Map<string, string | undefined>();

  /** `kept`: the experts that stay, ascending, by branch. */
  public constructor(
    private readonly model: Pick<OnnxModel, 'file' | 'index' | 'mixtures'>,
    kept: ReadonlyMap<number, readonly number[]>,
  ) {
    for (const [branch, experts] of kept) {
      const mixture = model.mixtures.get(branch);
      if (mixture === undefined) {
        throw new RangeError(`branch ${branch} has no single experts`);
      }
      this.cut(mixture, experts, `experts.${branch}`);
    }
  }

  /** Nodes that replace a copy of `original`, a node of the graph. */
  public rewrite(original: NodeProto, copy: NodeProto): NodeProto[] {
    const edit = this.edits.get(original);
    if (edit === undefined) {
      return [copy];
    }
    const { inputs, outputs, before, after, count } = edit;
    const rewritten = copyWith(copy, {
      input: copy.input.flatMap((name, place) =>
        inputs.has(place) ? (inputs.get(place) ?? []) : [name],
      ),
      output: copy.output.map((name) => outputs.get(name) ?? name),
      attribute: copy.attribute.map((one) =>
        one.name === 'N' && count !== undefined ? attribute('N', count) : one,
      ),
    });
    return [...before, rewritten, ...after];
  }

  private cut({ router, reads, loop }: Mixture, kept: readonly number[], tag: string): void {
    for (const { node, place, constant } of reads) {
      this.editOf(node.proto).inputs.set(place, this.slice(constant, kept, tag, node.proto));
    }
    router.scores.forEach((score) => this.resized.add(score));
    for (const { proto } of router.counted) {
      this.editOf(proto).count = kept.length;
    }
    for (const { node, sizes } of router.shapes) {
      const name = `${node.outputs[0] ?? ''}/${tag}/shape`;
      this.constant(name, [...sizes.slice(0, -1), kept.length]);
      this.editOf(node.proto).inputs.set(1, name);
    }
    if (loop === undefined) {
      return;
    }
    const staying = new Set(kept.map((expert) => loop.numbers[expert] ?? 0));
    const removedNumbers = new Set(loop.numbers.filter((number) => !staying.has(number)));
    for (const sum of withoutExperts(loop.sums, removedNumbers)) {
      this.branches.push({ ...sum, nodes: new Set() });
    }
    const choice = this.model.index.producers.get(loop.chosen);
    if (!loop.hasTable && choice !== undefined) {
      const [table, place] = [`${loop.chosen}/${tag}/numbers`, `${loop.chosen}/${tag}/place`];
      this.constant(table, [...staying]);
      const edit = this.editOf(choice.proto);
      edit.outputs.set(loop.chosen, place);
      edit.after.push(
        create(NodeProtoSchema, {
          name: table,
          opType: 'Gather',
          input: [table, place],
          output: [loop.chosen],
        }),
      );
    }
  }

  /** Name of the remaining part of a constant; its own name if only `reader` uses it. Undefined if nothing remains. */
  private slice(
    { value, axis, count, source }: ConstantByExpert,
    kept: readonly number[],
    tag: string,
    reader: NodeProto,
  ): string | undefined {
    const key = JSON.stringify([value, axis, kept]);
    if (this.sliced.has(key)) {
      return this.sliced.get(key);
    }
    const { index } = this.model;
    const isOwn = index.consumersOf(value).length === 1 && !index.outputs.has(value);
    const name = kept.length === 0 ? undefined : isOwn ? value : `${value}/${tag}`;
    this.sliced.set(key, name);
    if (name === undefined) {
      return name;
    }
    if (!('parts' in source)) {
      this.weights.set(name, sliceInitializer(source, name, { axis, count, remaining: kept }));
      return name;
    }
    this.resized.add(name);
    const { proto } = source.node;
    const parts = source.parts.map(({ place, first, constant }) => {
      const within = kept
        .map((expert) => expert - first)
        .filter((expert) => expert >= 0 && expert < constant.count);
      return [place, this.slice(constant, within, tag, proto)] as const;
    });
    if (isOwn) {
      parts.forEach(([place, part]) => this.editOf(proto).inputs.set(place, part));
    } else {
      const changed = new Map(parts);
      const copy = copyWith(proto, {
        name,
        input: proto.input.flatMap((one, place) =>
          changed.has(place) ? (changed.get(place) ?? []) : [one],
        ),
        output: [name],
      });
      this.editOf(reader).before.push(copy);
    }
    return name;
  }

  private editOf(proto: NodeProto): NodeEdit {
    const known = this.edits.get(proto);
    if (known !== undefined) {
      return known;
    }
    const edit = { inputs: new Map(), before: [], after: [], outputs: new Map() };
    this.edits.set(proto, edit);
    return edit;
  }

  /** A list of int64 numbers as a constant of the graph. */
  private constant(name: string, numbers: readonly number[]): void {
    const { path } = this.model.file;
    const dims = [numbers.length];
    const inline = create(TensorProtoSchema, {
      name,
      dataType: DataType.INT64,
      dims: dims.map(BigInt),
      rawData: new Uint8Array(BigInt64Array.from(numbers.map(BigInt)).buffer),
    });
    this.weights.set(name, {
      name,
      dataType: DataType.INT64,
      dtype: 'I64',
      dims,
      file: path,
      offset: 0,
      length: inline.rawData.length,
      inline,
      mappable: false,
    });
  }
}

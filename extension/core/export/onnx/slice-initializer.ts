import type { OnnxInitializer } from '../../checkpoints/onnx-file';
import type { FileRange, StoredWeight } from '../../models/onnx/edits/stored-graph';
import { copyWith } from '../../onnx/messages';
import type { TensorProto } from '../../onnx/proto/onnx_pb';

/** Equal parts along an axis that remain. */
interface KeptParts {
  readonly axis: number;
  /** Number of parts that the axis is divided into. */
  readonly count: number;
  /** Indices of the remaining parts, ascending. */
  readonly remaining: readonly number[];
}

/** Copy of a weight under another name without some parts along an axis; its bytes are copied unchanged. */
export function sliceInitializer(
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

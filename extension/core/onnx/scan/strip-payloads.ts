import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import type { ByteWindow } from './byte-window';
import { say } from '../../message';

/** Byte range of a tensor's elements in the file that contains the graph. */
export interface Payload {
  readonly offset: number;
  /** Length in bytes. */
  readonly length: number;
  /** `fixed`: one after the other, little-endian; `varint`: of varying length each. */
  readonly encoding: 'fixed' | 'varint';
  /** True if the bytes were omitted from the structure. */
  readonly stripped: boolean;
}

/** A serialized model without the contents of its large tensors. */
export interface Structure {
  /** Each TensorProto's doc_string is replaced by its index in `payloads`. */
  readonly bytes: Uint8Array;
  /** By tensor, in file order; undefined if a tensor has no data in the file. */
  readonly payloads: readonly (Payload | undefined)[];
}

/** Tensors of up to this many bytes are part of the structure: shapes, axes, scalars. */
const maxKeptBytes = 1024;
/** The structure of a model of 100 000 nodes with stack traces in its metadata takes a third of this. */
const maxStructureBytes = 128 << 20;
/** A model of 100 000 nodes has about half of this. */
const maxFields = 5_000_000;
/** Models of hundreds of experts have some ten thousand. */
const maxTensors = 250_000;
/** Levels of messages; each nested graph takes three (graph, node, attribute). */
const maxDepth = 64;

const incomplete = say`The file is damaged or incomplete: download or export it again.`;

/** Bytes of the file to copy unchanged. */
interface Range {
  readonly start: number;
  end: number;
}

/** A message without the contents of its tensors. */
interface Emptied {
  readonly parts: (Uint8Array | Range)[];
  length: number;
}

/**
 * Walks through a serialized ModelProto and copies all of it but the contents of large tensors,
 * which are stepped over and never read.
 * @throws UserError naming the file and the byte at fault.
 */
export function stripPayloads(window: ByteWindow, path: string): Structure {
  const stripper = new Stripper(window, path);
  const model = stripper.message('model', 0, window.size, 0);
  return { bytes: stripper.bytesOf(model), payloads: stripper.payloads };
}

class Stripper {
  public readonly payloads: (Payload | undefined)[] = [];
  private fields = 0;
  private copied = 0;
  private position = 0;

  public constructor(
    private readonly window: ByteWindow,
    private readonly path: string,
  ) {}

  /** Reads the ranges to copy. */
  public bytesOf({ parts, length }: Emptied): Buffer {
    const bytes = Buffer.alloc(length);
    let at = 0;
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        bytes.set(part, at);
        at += part.length;
        continue;
      }
      const { start, end } = part;
      const copied = this.window.bytes(start, end - start);
      if (copied.length < end - start) {
        throw this.fault(
          start,
          'file-shortened',
          'The file became shorter while it was being read',
        );
      }
      bytes.set(copied, at);
      at += copied.length;
    }
    return bytes;
  }

  public message(name: MessageName, start: number, end: number, depth: number): Emptied {
    if (depth > maxDepth) {
      throw this.fault(
        start,
        'onnx-nested-too-deep',
        `Graphs are nested more than ${Math.floor(maxDepth / 3)} deep`,
      );
    }
    const message: Emptied = { parts: [], length: 0 };
    if (name === 'tensor') {
      this.tensor(message, start, end);
      return message;
    }
    for (let at = start; at < end; at = this.position) {
      const { field, wire, length } = this.header(at, end);
      const child = wire === 2 ? children[name][field] : undefined;
      const content = this.position;
      if (child === undefined) {
        this.copy(message, at, content + length);
      } else {
        const inner = this.message(child, content, content + length, depth + 1);
        if (isWhole(inner, content, content + length)) {
          addRange(message, at, content + length);
        } else {
          this.push(message, varint(field * 8 + 2));
          this.push(message, varint(inner.length));
          for (const part of inner.parts) {
            addPart(message, part);
          }
        }
      }
      this.position = content + length;
    }
    return message;
  }

  private tensor(message: Emptied, start: number, end: number): void {
    const index = this.payloads.push(undefined) - 1;
    if (index >= maxTensors) {
      throw this.fault(
        start,
        'onnx-tensors-too-many',
        `The graph has more than ${maxTensors} tensors`,
      );
    }
    for (let at = start; at < end; at = this.position) {
      const { field, wire, length } = this.header(at, end);
      const content = this.position;
      const next = content + length;
      const encoding = wire === 2 ? dataEncoding(field) : undefined;
      if (encoding !== undefined && length > 0) {
        if (this.payloads[index] !== undefined) {
          throw this.fault(at, 'onnx-tensor-ambiguous', 'A tensor has two contents');
        }
        const stripped = length > maxKeptBytes;
        this.payloads[index] = { offset: content, length, encoding, stripped };
        if (!stripped) {
          this.copy(message, at, next);
        }
      } else if (field !== tensorFields.docString) {
        this.copy(message, at, next);
      }
      this.position = next;
    }
    const label = Buffer.from(String(index));
    this.push(message, varint(tensorFields.docString * 8 + 2));
    this.push(message, varint(label.length));
    this.push(message, label);
  }

  /** Reads a field's number and length; the position is then at its content. */
  private header(at: number, end: number): { field: number; wire: number; length: number } {
    if (++this.fields > maxFields) {
      throw this.fault(at, 'onnx-fields-too-many', `The graph has more than ${maxFields} fields`);
    }
    const key = this.varint(at, end);
    const field = Math.floor(key / 8);
    const wire = key % 8;
    if (field === 0 || field > 0x1fffffff) {
      throw this.fault(at, 'onnx-field-unknown', 'This is no field of an ONNX model');
    }
    let length = 0;
    if (wire === 0) {
      const content = this.position;
      this.varint(content, end);
      length = this.position - content;
      this.position = content;
    } else if (wire === 1 || wire === 5) {
      length = wire === 1 ? 8 : 4;
    } else if (wire === 2) {
      length = this.varint(this.position, end);
    } else {
      throw this.fault(at, 'onnx-field-unknown', 'This is no field of an ONNX model');
    }
    if (this.position + length > end) {
      throw this.fault(
        at,
        'onnx-field-truncated',
        `A field of ${length} bytes goes beyond the end of what holds it`,
      );
    }
    return { field, wire, length };
  }

  private varint(at: number, end: number): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = at + i < end ? this.window.byte(at + i) : undefined;
      if (byte === undefined) {
        throw this.fault(
          at,
          'onnx-number-truncated',
          'A number goes beyond the end of what holds it',
        );
      }
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) {
        this.position = at + i + 1;
        return value;
      }
    }
    throw this.fault(at, 'onnx-number-too-long', 'A number is longer than ten bytes');
  }

  private copy(message: Emptied, start: number, end: number): void {
    if (this.copied + end - start > maxStructureBytes) {
      throw this.fault(
        start,
        'onnx-structure-too-large',
        `The graph without its weights takes more than ${maxStructureBytes} bytes`,
      );
    }
    this.copied += end - start;
    addRange(message, start, end);
  }

  private push(message: Emptied, bytes: Uint8Array): void {
    addPart(message, bytes);
    this.copied += bytes.length;
  }

  private fault(position: number, code: ErrorCode, problem: string): UserError {
    return new UserError(code, say`${problem} (at byte ${position}).`, {
      file: this.path,
      remedy: incomplete,
    });
  }
}

/** Adjacent ranges become one: most graphs have far fewer tensors than nodes. */
function addRange(message: Emptied, start: number, end: number): void {
  const last = message.parts.at(-1);
  if (last !== undefined && 'end' in last && last.end === start) {
    last.end = end;
  } else {
    message.parts.push({ start, end });
  }
  message.length += end - start;
}

function addPart(message: Emptied, part: Uint8Array | Range): void {
  if (part instanceof Uint8Array) {
    message.parts.push(part);
    message.length += part.length;
  } else {
    addRange(message, part.start, part.end);
  }
}

/** True if a message is copied unchanged. */
const isWhole = ({ parts, length }: Emptied, start: number, end: number): boolean =>
  length === end - start && parts.every((part) => 'end' in part && part.start === start);

function dataEncoding(field: number): Payload['encoding'] | undefined {
  const { rawData, floatData, doubleData } = tensorFields;
  if (field === rawData || field === floatData || field === doubleData) {
    return 'fixed';
  }
  return varintData.has(field) ? 'varint' : undefined;
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) + 128);
  }
  return Uint8Array.of(...bytes, rest);
}

/** Messages of onnx.proto that contain tensors at any depth; all others are copied unchanged. */
type MessageName =
  | 'model'
  | 'graph'
  | 'node'
  | 'attribute'
  | 'function'
  | 'training'
  | 'sparse'
  | 'tensor';

/** Fields that lead to tensors, by field number (scripts/vendor/onnx.proto). */
const children: Readonly<
  Record<Exclude<MessageName, 'tensor'>, Readonly<Record<number, MessageName>>>
> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  training: { 1: 'graph', 2: 'graph' },
  sparse: { 1: 'tensor', 2: 'tensor' },
};

/** Field numbers of TensorProto. */
const tensorFields = { docString: 12, rawData: 9, floatData: 4, doubleData: 10 } as const;

/** int32_data, int64_data and uint64_data of TensorProto, whose values are varints. */
const varintData: ReadonlySet<number> = new Set([5, 7, 11]);

import { ScalarType } from '@bufbuild/protobuf';
import type { DescField, DescMessage } from '@bufbuild/protobuf';

/** Memory of decoded values in V8, in bytes. */
const objectBytes = {
  message: 128,
  field: 8,
  list: 40,
  element: 8,
  string: 24,
  bigint: 24,
  view: 120,
};
/** Deepest nesting of messages; a graph within a graph takes three levels. */
const mostLevels = 100;

const wideIntegers: ReadonlySet<ScalarType> = new Set([
  ...[ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64],
  ...[ScalarType.FIXED64, ScalarType.SFIXED64],
]);

/** Thrown for a message whose decoded form would be too large or too deep. */
export class DecodedSizeError extends Error {}

/**
 * Estimates the memory that a decoded protobuf message takes, before it is decoded: a file of two bytes per
 * message decodes to over a hundred times its size. Damaged bytes are left to the decoder.
 * @param most limit, in bytes
 * @throws DecodedSizeError above the limit, or if messages are nested too deep
 */
export function checkDecodedSize(schema: DescMessage, bytes: Uint8Array, most: number): void {
  new Walk(bytes, most).message(schema, 0, bytes.length, 0);
}

interface MessageShape {
  readonly bytes: number;
  readonly fields: ReadonlyMap<number, DescField>;
}

const shapes = new WeakMap<DescMessage, MessageShape>();

function messageShape(schema: DescMessage): MessageShape {
  const known = shapes.get(schema);
  if (known !== undefined) {
    return known;
  }
  const lists = schema.fields.filter(({ fieldKind }) => fieldKind === 'list').length;
  const bytes =
    objectBytes.message + objectBytes.field * schema.fields.length + (objectBytes.list - 8) * lists;
  const shape = { bytes, fields: new Map(schema.fields.map((field) => [field.number, field])) };
  shapes.set(schema, shape);
  return shape;
}

class Walk {
  #taken = 0;
  #at = 0;

  public constructor(
    private readonly bytes: Uint8Array,
    private readonly most: number,
  ) {}

  public message(schema: DescMessage, start: number, end: number, level: number): void {
    if (level > mostLevels) {
      throw new DecodedSizeError(`messages are nested more than ${mostLevels} deep`);
    }
    const { bytes, fields } = messageShape(schema);
    this.#take(bytes);
    this.#at = start;
    while (this.#at < end) {
      const key = this.#varint(end);
      const wire = key % 8;
      const field = fields.get(Math.floor(key / 8));
      if (wire === 2) {
        const length = this.#varint(end);
        const next = Math.min(this.#at + length, end);
        this.#lengthDelimited(field, this.#at, next, level);
        this.#at = next;
      } else if (wire === 0) {
        this.#varint(end);
        this.#take(objectBytes.bigint + objectBytes.element);
      } else if (wire === 1 || wire === 5) {
        this.#at += wire === 1 ? 8 : 4;
        this.#take(objectBytes.bigint + objectBytes.element);
      } else {
        return;
      }
    }
  }

  #lengthDelimited(field: DescField | undefined, start: number, end: number, level: number): void {
    if (field?.message !== undefined) {
      this.message(field.message, start, end, level + 1);
    } else if (field === undefined || field.scalar === ScalarType.BYTES) {
      this.#take(objectBytes.view + objectBytes.element);
    } else if (field.scalar === ScalarType.STRING) {
      this.#take(objectBytes.string + objectBytes.element + end - start);
    } else {
      this.#packed(field, start, end);
    }
  }

  /** Values of a packed repeated field. */
  #packed({ scalar }: DescField, start: number, end: number): void {
    const isWide = scalar !== undefined && wideIntegers.has(scalar);
    let count = 0;
    for (let at = start; at < end; at++) {
      // The last byte of each varint; numbers of fixed width have at most as many.
      count += (this.bytes[at] ?? 0) < 0x80 ? 1 : 0;
    }
    this.#take(count * (objectBytes.element + (isWide ? objectBytes.bigint : 0)));
  }

  #varint(end: number): number {
    let value = 0;
    let scale = 1;
    while (this.#at < end) {
      const byte = this.bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        break;
      }
      scale *= 128;
    }
    return value;
  }

  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > this.most) {
      throw new DecodedSizeError(`decoding takes more than ${this.most} bytes`);
    }
  }
}

import { jsonOf } from '../../parse-json';

/** Arrays of numbers that pieces carry. */
const arrays = {
  Float32Array,
  Float64Array,
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
};
const mark = '$array';
/** In front of numbers that JSON lacks. */
const numberMark = '$number';

/** Plain data with typed arrays as a text: an array is its bytes in base64. */
export function encode(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'number' && !Number.isFinite(one)) {
      return { [numberMark]: String(one) };
    }
    if (!ArrayBuffer.isView(one)) {
      return one;
    }
    const bytes = Buffer.from(one.buffer, one.byteOffset, one.byteLength);
    return { [mark]: one.constructor.name, bytes: bytes.toString('base64') };
  });
}

/**
 * The data of a text from {@link encode}, or of any other JSON text, undefined for any other; what it may be is for
 * schemas to say.
 */
export function decode(text: string): unknown {
  return jsonOf(text, (_: string, one: unknown) => {
    if (typeof one === 'object' && one !== null && numberMark in one) {
      return Number(one[numberMark]);
    }
    if (typeof one !== 'object' || one === null || !(mark in one) || !('bytes' in one)) {
      return one;
    }
    const name = String(one[mark]);
    const bytes = Uint8Array.from(Buffer.from(String(one.bytes), 'base64'));
    const constructor = Object.hasOwn(arrays, name)
      ? arrays[name as keyof typeof arrays]
      : undefined;
    return constructor === undefined || bytes.length % constructor.BYTES_PER_ELEMENT !== 0
      ? undefined
      : new constructor(bytes.buffer);
  });
}

import { elementCount } from '../checkpoints/lazy-tensor';
import { readWholeFile } from '../regular-file';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { arrayTypes } from '../checkpoints/numeric-array';
import type { ArrayDType, NumericArray, TypedArray } from '../checkpoints/numeric-array';
import type { Message } from '../message';
import { say } from '../message';

/** Maximum array size in bytes. */
export const maxArrayBytes = 2 ** 31;
/** Maximum header size, as in numpy. */
const maxHeaderBytes = 10_000;
/** Maximum number of axes, as in numpy. */
const maxAxes = 64;
const magic = Buffer.from('\x93NUMPY', 'latin1');

const descriptions: Readonly<Record<string, ArrayDType>> = {
  '<f8': 'F64',
  '<f4': 'F32',
  '<f2': 'F16',
  '<i8': 'I64',
  '<i4': 'I32',
  '<i2': 'I16',
  '|i1': 'I8',
  '<u8': 'U64',
  '<u4': 'U32',
  '<u2': 'U16',
  '|u1': 'U8',
  '|b1': 'BOOL',
};

const remedies = {
  damaged: say`The file is damaged or incomplete: save the array again with numpy.save.`,
  dtype: say`Convert the array with astype("float32") or astype("int64") before saving it.`,
  split: say`Save it as several smaller files in one folder.`,
} as const;

/** Creates an error about an array and the invalid field of its header. */
type Fault = (code: ErrorCode, problem: Message, field?: string, remedy?: Message) => UserError;

/**
 * Reads an array written by numpy.save (format versions 1 to 3, see numpy.lib.format). Never executes anything from the
 * file: Python objects are rejected.
 * @throws UserError naming the file and the invalid header field.
 */
export async function readNpy(file: string): Promise<NumericArray> {
  return parseNpy(await readWholeFile(file, maxArrayBytes, remedies.split), file);
}

/**
 * Parses the contents of a .npy file. The array may share their memory.
 * @param entry name of the file inside an archive
 */
export function parseNpy(bytes: Uint8Array, file: string, entry?: string): NumericArray {
  const fault: Fault = (code, problem, field, remedy = remedies.damaged) => {
    const place = [entry, field].filter((part) => part !== undefined).join(': ');
    return new UserError(code, problem, {
      file,
      ...(place === '' ? {} : { field: place }),
      remedy,
    });
  };
  const { text, dataStart } = headerText(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
    fault,
  );
  const header = parseHeader(text, fault);
  const dtype = readDtype(header, fault);
  const dims = readShape(header, fault);
  const order = header.get('fortran_order');
  if (order !== 'True' && order !== 'False') {
    throw fault('npy-order-invalid', say`It must be True or False.`, 'fortran_order');
  }
  const data = readData(bytes.subarray(dataStart), dtype, dims, fault);
  return { dtype, dims, data: order === 'True' ? toRowOrder(data, dtype, dims) : data };
}

function headerText(bytes: Buffer, fault: Fault): { text: string; dataStart: number } {
  if (!bytes.subarray(0, magic.length).equals(magic)) {
    throw fault('npy-signature-missing', say`This is not a .npy file: its first bytes are wrong.`);
  }
  if (bytes.length < 12) {
    throw fault('header-truncated', say`The file ends inside its header.`);
  }
  const version = bytes.readUInt8(6);
  if (version < 1 || version > 3 || bytes.readUInt8(7) !== 0) {
    throw fault(
      'npy-version-unsupported',
      say`Format version ${version}.${bytes.readUInt8(7)} is not supported.`,
      'version',
      say`Save the array with numpy.save.`,
    );
  }
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  if (length > maxHeaderBytes) {
    throw fault(
      'npy-header-too-long',
      say`The header is declared as ${length} bytes; at most ${maxHeaderBytes} are read.`,
    );
  }
  const dataStart = start + length;
  if (dataStart > bytes.length) {
    throw fault('header-truncated', say`The file ends inside its header.`);
  }
  return { text: bytes.toString(version === 3 ? 'utf8' : 'latin1', start, dataStart), dataStart };
}

const space = String.raw`[ \t\n]*`;
const quoted = String.raw`(?:'[^'"\\]*'|"[^'"\\]*")`;
/** One `'key': value` of the header, which is a Python dictionary literal. */
const item = new RegExp(
  `${space}(${quoted})${space}:${space}(${quoted}|True|False|\\([\\d, L]*\\))${space}(,|(?=\\}))`,
  'y',
);

/** Raw values of the header; strings include their quotes. */
function parseHeader(text: string, fault: Fault): Map<string, string> {
  const header = new Map<string, string>();
  const open = /^[ \t\n]*\{/.exec(text);
  if (open === null) {
    throw fault('npy-header-invalid', say`The header is not a dictionary.`, 'header');
  }
  let position = open[0].length;
  for (;;) {
    item.lastIndex = position;
    const match = item.exec(text);
    if (match === null) {
      break;
    }
    const [whole, key = '', value = ''] = match;
    position += whole.length;
    const name = key.slice(1, -1);
    if (header.has(name)) {
      throw fault('npy-field-duplicate', say`The field occurs twice in the header.`, name);
    }
    header.set(name, value);
  }
  const rest = text.slice(position);
  if (/^[ \t\n]*['"]descr['"][ \t\n]*:[ \t\n]*\[/.test(rest)) {
    throw fault(
      'npy-records-unsupported',
      say`Arrays of records are not supported.`,
      'descr',
      say`Save each field as an array.`,
    );
  }
  if (!/^[ \t\n]*\}[ \t\n]*$/.test(rest)) {
    throw fault(
      'npy-header-undecodable',
      say`The header cannot be read from ${JSON.stringify(rest.slice(0, 40))} on.`,
      'header',
    );
  }
  for (const name of header.keys()) {
    if (!['descr', 'fortran_order', 'shape'].includes(name)) {
      throw fault('npy-field-unknown', say`This field is not part of the format.`, name);
    }
  }
  return header;
}

function readDtype(header: ReadonlyMap<string, string>, fault: Fault): ArrayDType {
  const description = header.get('descr')?.slice(1, -1) ?? '';
  const dtype = Object.hasOwn(descriptions, description) ? descriptions[description] : undefined;
  if (dtype === undefined) {
    const hasObjects = description.includes('O');
    const why = hasObjects
      ? say`Python objects are never unpacked, as that could run code.`
      : say`The dtype ${JSON.stringify(description)} is not supported, only ${Object.keys(descriptions).join(', ')}.`;
    throw fault(
      hasObjects ? 'npy-objects-refused' : 'npy-dtype-unsupported',
      why,
      'descr',
      remedies.dtype,
    );
  }
  return dtype;
}

function readShape(header: ReadonlyMap<string, string>, fault: Fault): number[] {
  const text = header.get('shape') ?? '';
  // A tuple of one number has a trailing comma.
  if (!/^\((?:|\d+L?,|\d+L?(?:, *\d+L?)+,?)\)$/.test(text)) {
    throw text === ''
      ? fault('npy-shape-missing', say`The shape is missing.`, 'shape')
      : fault('npy-shape-invalid', say`${text} is not a valid shape.`, 'shape');
  }
  const dims = [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits));
  if (dims.length > maxAxes || !dims.every(Number.isSafeInteger)) {
    throw fault('npy-shape-invalid', say`${text} is not a valid shape.`, 'shape');
  }
  return dims;
}

function readData(
  bytes: Uint8Array,
  dtype: ArrayDType,
  dims: readonly number[],
  fault: Fault,
): TypedArray {
  const type = arrayTypes[dtype];
  const count = elementCount(dims);
  const needed = count * type.BYTES_PER_ELEMENT;
  if (!Number.isSafeInteger(needed) || needed !== bytes.length) {
    throw fault(
      'npy-size-mismatch',
      say`Shape (${dims.join(', ')}) of ${dtype} takes ${needed} bytes, but ${bytes.length} follow the header.`,
      'shape',
    );
  }
  if (dtype === 'BOOL' && bytes.some((byte) => byte > 1)) {
    throw fault('npy-boolean-invalid', say`It contains booleans other than 0 and 1.`, 'data');
  }
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = aligned ? bytes : new Uint8Array(bytes);
  return new type(buffer as ArrayBuffer, byteOffset, count);
}

/** Converts an array from column-major (Fortran) to row-major order. */
function toRowOrder(data: TypedArray, dtype: ArrayDType, dims: readonly number[]): TypedArray {
  if (data.length === 0) {
    return data;
  }
  const axes = dims.map((size, axis) => ({ size, stride: elementCount(dims.slice(0, axis)) }));
  const sorted = new arrayTypes[dtype](data.length);
  let to = 0;
  const visit = (depth: number, from: number): void => {
    const axis = axes[depth];
    if (axis === undefined) {
      // Both have the same type, but TypeScript can't infer it.
      sorted[to++] = data[from] as never;
      return;
    }
    for (let i = 0; i < axis.size; i++) {
      visit(depth + 1, from + i * axis.stride);
    }
  };
  visit(0, 0);
  return sorted;
}

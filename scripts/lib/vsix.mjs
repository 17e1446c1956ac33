import { join } from 'node:path';
import process from 'node:process';
import { root } from './repository.mjs';

/** Where the packaged extension of a platform lies. */
export function vsixFile(target = `${process.platform}-${process.arch}`) {
  return join(root, 'dist', `espalier-${target}.vsix`);
}

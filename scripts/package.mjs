// Packages the extension for this platform, for those that are named, or for all that ONNX Runtime comes for, and the
// command line for npm: node scripts/package.mjs [--target linux-x64 …] [--target all]
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { packageCommandLine } from './lib/npm-package.mjs';
import { platforms } from './lib/onnx-runtime.mjs';
import { root } from './lib/repository.mjs';
import { say } from './lib/terminal.mjs';
import { packageExtension } from './lib/vsix.mjs';

const { values: flags } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: [`${process.platform}-${process.arch}`] },
  },
});
const targets = flags.target.includes('all') ? platforms() : flags.target;

const files = [];
for (const target of targets) files.push(await packageExtension(target));
files.push(await packageCommandLine());

const sums = [];
for (const file of files) {
  const bytes = await readFile(file);
  sums.push(`${createHash('sha256').update(bytes).digest('hex')}  ${basename(file)}\n`);
  say(`Packaged ${file}: ${(bytes.length / 1e6).toFixed(1)} MB`);
}
await writeFile(join(root, 'dist', 'SHA256SUMS'), sums.join(''));

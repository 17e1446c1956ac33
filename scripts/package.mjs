// Packages the VSIX of this platform, or of the one that --target names: node scripts/package.mjs [--target linux-x64]
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { run } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { say } from './lib/terminal.mjs';
import { vsixFile } from './lib/vsix.mjs';

const { values: flags } = parseArgs({
  options: { target: { type: 'string', default: `${process.platform}-${process.arch}` } },
});
const [platform, arch] = flags.target.split('-');

const dist = join(root, 'dist');
await mkdir(dist, { recursive: true });
const ignoreFile = join(dist, 'vscodeignore');
const common = await readFile(join(root, '.vscodeignore'), 'utf8');
const library = `!node_modules/onnxruntime-node/bin/napi-v6/${platform}/${arch}/**`;
await writeFile(ignoreFile, `${common}\n${library}\n`);

// vsce runs the production build itself, through the script vscode:prepublish.
const vsce = fileURLToPath(import.meta.resolve('@vscode/vsce/vsce'));
const out = vsixFile(flags.target);
await run(
  process.execPath,
  [
    vsce,
    'package',
    ...['--target', flags.target, '--ignoreFile', ignoreFile, '--out', out],
    ...['--allow-missing-repository', '--no-rewrite-relative-links'],
  ],
  { cwd: root, quiet: true },
);
say(`Packaged ${out}`);

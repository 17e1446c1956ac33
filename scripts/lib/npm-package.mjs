import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { capture } from './processes.mjs';
import { npmCommand, npmEnvironment } from './npm.mjs';
import { manifest, root } from './repository.mjs';

/** Bundles that the command line and its child processes load. */
const bundles = [
  'cli',
  'mcp-server',
  'pieces',
  'probe',
  'quantize',
  'parquet-check',
  'llama',
  'queue-library',
];

const samples = ['calibration.txt', 'held-out.txt', 'domains', 'espalier-sample'];

/** Sources of the files in the npm package, relative to the repository; package.json is added separately. */
function contents() {
  const built = [...bundles.flatMap((name) => [`${name}.js`, `${name}.js.LEGAL.txt`]), 'highs.wasm']
    .map((name) => `dist/${name}`)
    // Bundles without foreign code have no notices.
    .filter((file) => !file.endsWith('.LEGAL.txt') || existsSync(join(root, file)));
  return {
    ...Object.fromEntries(built.map((file) => [file, file])),
    ...Object.fromEntries(samples.map((name) => [`samples/${name}`, `samples/${name}`])),
    'README.md': 'scripts/npm/README.md',
    'CHANGELOG.md': 'CHANGELOG.md',
    LICENSE: 'LICENSE',
  };
}

/**
 * Packages the command line alone, from the bundles in dist.
 * @returns {Promise<string>} the tarball
 */
export async function packageCommandLine() {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-npm-'));
  try {
    return await pack(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param {string} folder where what is packed is put together */
async function pack(folder) {
  for (const [to, from] of Object.entries(contents())) {
    await mkdir(dirname(join(folder, to)), { recursive: true });
    await cp(join(root, from), join(folder, to), { recursive: true });
  }
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(npmManifest(), null, 2)}\n`);
  const npm = npmCommand();
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', join(root, 'dist')];
  const { code, output } = await capture(npm.file, [...npm.args, ...args], {
    cwd: folder,
    env: npmEnvironment(),
    quiet: true,
  });
  if (code !== 0) throw new Error(`npm pack ended with ${code}\n${output}`);
  return join(root, 'dist', `${manifest.name}-${manifest.version}.tgz`);
}

function npmManifest() {
  const { name, version, license, keywords, engines, bin, dependencies } = manifest;
  return {
    name,
    version,
    description:
      'Profile, prune, compress and repair the layers of a model. Runs on your machine, no Python.',
    license,
    keywords,
    engines: { node: engines.node },
    bin,
    files: ['dist', 'samples', 'CHANGELOG.md'],
    // All else is bundled.
    dependencies: { 'onnxruntime-node': dependencies['onnxruntime-node'] },
  };
}

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import * as yauzl from 'yauzl';
import manifest from '../../package.json';
import { temporaryFolder } from '../unit/temporary-folder';

const root = join(import.meta.dirname, '../..');
const scripts = join(root, 'scripts/lib');
const { vsixFile } = (await import(join(scripts, 'vsix.mjs'))) as { vsixFile: () => string };
const { platforms, runtimeFiles } = (await import(join(scripts, 'onnx-runtime.mjs'))) as {
  platforms: () => string[];
  runtimeFiles: (target: string) => string[];
};

describe('the packaged extension', () => {
  it('contains its dependencies, for this platform only', async () => {
    const files = await listEntries(vsixFile());
    const inside = files
      .filter((name) => name.startsWith('extension/'))
      .map((name) => name.slice('extension/'.length));
    const isRuntime = (name: string): boolean => name.includes('/napi-v6/');
    expect(inside.filter(isRuntime).sort()).toEqual(
      runtimeFiles(`${process.platform}-${process.arch}`),
    );
    // Folders by name, and the rest one by one: bundles may split, and sources are never among them.
    const shared = /^dist\/(host|inspector|preview)-[A-Z\d]{8}\.js/;
    const folders =
      /^(package\.nls\.|(l10n|media|samples\/espalier-sample|dist\/webview|node_modules\/onnxruntime-\w+)\/)/;
    expect(inside.filter((name) => !folders.test(name) && !shared.test(name)).sort()).toEqual([
      ...['LICENSE.txt', 'changelog.md', 'dist/architectures.js', 'dist/cli.js'],
      ...[
        'dist/cli.js.LEGAL.txt',
        'dist/config-preview.js',
        'dist/data-reader.js',
        'dist/data-reader.js.LEGAL.txt',
      ],
      ...['dist/encoder-architectures.js', 'dist/extension.js', 'dist/highs.wasm', 'dist/host.js'],
      ...['dist/inspector.js', 'dist/llama.js', 'dist/mcp-server.js'],
      'dist/mixtures-and-mixers.js',
      ...['dist/operations.js', 'dist/parquet-check.js', 'dist/pieces.js'],
      ...['dist/pieces.js.LEGAL.txt', 'dist/probe.js'],
      'dist/quantize.js',
      ...['dist/queue-library.js', 'dist/run-command.js', 'dist/staged-families.js'],
      ...[
        'dist/weight.js',
        'dist/worker-client.js',
        'dist/worker.js',
        'dist/worker.js.LEGAL.txt',
        'package.json',
      ],
      ...[
        'readme.md',
        'samples/calibration.txt',
        ...[
          'samples/domains/code.txt',
          'samples/domains/dialogue.txt',
          'samples/domains/non-latin.txt',
        ],
        'samples/held-out.txt',
      ],
    ]);
    expect(inside.filter((name) => shared.test(name))).not.toEqual([]);
    expect(files.filter((name) => /\.(ts|tsx|map|test\.js)$/.test(name))).toEqual([]);
  });

  it('contains each library once, for each platform of ONNX Runtime', () => {
    expect(platforms()).toEqual([
      ...['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-arm64', 'win32-x64'],
    ]);
    for (const target of platforms()) {
      const libraries = runtimeFiles(target).filter((name) =>
        /\/(lib)?onnxruntime\.[^/]+$/.test(name),
      );
      expect(libraries, target).toHaveLength(1);
    }
    expect(() => runtimeFiles('darwin-x64')).toThrow(/darwin-x64.*linux-x64/);
  });
});

it('the npm package contains only the command line, and runs from its unpacked folder', () => {
  const folder = temporaryFolder();
  execFileSync('tar', [
    '-xzf',
    join(root, 'dist', `espalier-${manifest.version}.tgz`),
    '-C',
    folder,
  ]);
  const unpacked = join(folder, 'package');
  const files = readdirSync(unpacked, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(unpacked.length + 1))
    .map((name) => name.replaceAll('\\', '/'));
  expect(files.sort()).toEqual([
    ...['CHANGELOG.md', 'LICENSE', 'README.md', 'dist/cli.js', 'dist/cli.js.LEGAL.txt'],
    ...['dist/highs.wasm', 'dist/llama.js', 'dist/mcp-server.js', 'dist/parquet-check.js'],
    'dist/pieces.js',
    ...['dist/pieces.js.LEGAL.txt', 'dist/probe.js', 'dist/quantize.js'],
    ...['dist/queue-library.js', 'package.json'],
    ...[
      'samples/calibration.txt',
      ...[
        'samples/domains/code.txt',
        'samples/domains/dialogue.txt',
        'samples/domains/non-latin.txt',
      ],
      'samples/espalier-sample/config.json',
    ],
    ...['samples/espalier-sample/generation_config.json'],
    ...['samples/espalier-sample/model.safetensors'],
    ...['samples/espalier-sample/special_tokens_map.json'],
    ...['samples/espalier-sample/tokenizer.json', 'samples/espalier-sample/tokenizer_config.json'],
    'samples/held-out.txt',
  ]);
  const packed = JSON.parse(
    readFileSync(join(unpacked, 'package.json'), 'utf8'),
  ) as typeof manifest;
  expect(packed.dependencies).toEqual({
    'onnxruntime-node': manifest.dependencies['onnxruntime-node'],
  });
  mkdirSync(join(unpacked, 'node_modules'));
  for (const name of ['onnxruntime-node', 'onnxruntime-common']) {
    symlinkSync(join(root, 'node_modules', name), join(unpacked, 'node_modules', name), 'junction');
  }
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, [join(unpacked, packed.bin.espalier), ...args], {
      encoding: 'utf8',
      cwd: unpacked,
    });
  expect(run('--version').trim()).toBe(manifest.version);
  expect(run('inspect', 'samples/espalier-sample')).toContain('12 blocks');
});

it('reports a Node version that is too old', () => {
  const [, line = ''] = readFileSync(join(root, 'dist/cli.js'), 'utf8').split('\n');
  const said: unknown[] = [];
  const start = (node: string): void => {
    runInNewContext(line, {
      parseInt,
      console: { error: (text: unknown) => said.push(text) },
      process: { version: `v${node}`, versions: { node }, exit: (code: number) => said.push(code) },
    });
  };
  start('18.20.8');
  expect(said).toEqual(['Espalier needs Node.js 20.15 or later. This is v18.20.8.', 1]);
  start('20.14.1');
  expect(said).toHaveLength(4);
  start('20.15.0');
  start('22.0.0');
  expect(said).toHaveLength(4);
});

it('the release workflow runs scripts that exist, with the lowest Node that is supported', () => {
  const workflow = readFileSync(join(root, '.github/workflows/release.yml'), 'utf8');
  const called = [...workflow.matchAll(/npm run (?:--\w+ )?(\w+)/g)].map(([, name = '']) => name);
  expect(called.length).toBeGreaterThan(1);
  expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(called));
  expect(workflow).toContain(`node: [${/\d+/.exec(manifest.engines.node)?.[0]}, `);
});

async function listEntries(file: string): Promise<string[]> {
  const zip = await promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open)(file, {});
  const names: string[] = [];
  return new Promise((resolve, reject) => {
    zip.on('entry', ({ fileName }: yauzl.Entry) => names.push(fileName));
    zip.on('end', () => {
      resolve(names);
    });
    zip.on('error', reject);
  });
}

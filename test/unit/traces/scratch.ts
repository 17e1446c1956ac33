import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { temporaryFolder } from '../temporary-folder';

const root = join(import.meta.dirname, '../../..');
const folder = temporaryFolder();
const copied = [
  ...[
    'extension',
    'webview',
    'scripts',
    'docs/reference',
    'media/plan.schema.json',
    'media/request.schema.json',
    'bench/models',
  ],
  ...['package.json', 'package.nls.json', 'tsconfig.json', 'tsconfig.base.json', '.oxfmtrc.json'],
];
const linked = ['node_modules', 'samples'];

/** A copy of the source, in which something is added as CONTRIBUTING.md says. */
export class Scratch {
  private loads = 0;

  private constructor(public readonly path: string) {}

  public static async make(): Promise<Scratch> {
    const scratch = new Scratch(await mkdtemp(join(folder, 'scratch-')));
    for (const name of copied) {
      await cp(join(root, name), join(scratch.path, name), { recursive: true });
    }
    for (const name of linked) {
      await symlink(join(root, name), join(scratch.path, name), 'junction');
    }
    await mkdir(join(scratch.path, 'dist'));
    return scratch;
  }

  public async read(file: string): Promise<string> {
    return readFile(join(this.path, file), 'utf8');
  }

  public async write(file: string, text: string): Promise<void> {
    await writeFile(join(this.path, file), text);
  }

  /** Inserts text after the first occurrence of `before` in a file. */
  public async insert(file: string, before: string, text: string): Promise<void> {
    const source = await this.read(file);
    const at = source.indexOf(before);
    if (at < 0) {
      throw new Error(`${file} has no ${before}`);
    }
    const end = at + before.length;
    await this.write(file, `${source.slice(0, end)}${text}${source.slice(end)}`);
  }

  /** Writes what is generated. */
  public async generate(): Promise<void> {
    await this.node('scripts/generate.mjs');
  }

  /** Bundles parts of the product. */
  public async build(...names: readonly string[]): Promise<void> {
    await this.node('scripts/build.mjs', ...names);
  }

  /** The JSON that a command prints. */
  public async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.node('dist/cli.js', ...args, '--json')) as T;
  }

  /** Bundles TypeScript that imports from the copied source, and loads it. */
  public async load<T>(source: string, external: readonly string[] = []): Promise<T> {
    const outfile = join(this.path, `dist/loaded-${this.loads++}.cjs`);
    await build({
      absWorkingDir: this.path,
      stdin: { contents: source, resolveDir: this.path, loader: 'ts' },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      mainFields: ['module', 'main'],
      external: ['onnxruntime-node', ...external],
      define: { 'import.meta.dirname': '__dirname', 'import.meta.url': 'importMetaUrl' },
      banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
      logLevel: 'silent',
    });
    return createRequire(import.meta.url)(outfile) as T;
  }

  public async node(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: this.path });
    return stdout;
  }
}

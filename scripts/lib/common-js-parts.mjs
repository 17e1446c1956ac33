import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transform } from 'esbuild';

/**
 * Bundles that share chunks and are loaded with require. esbuild splits only ES modules, so each is
 * converted afterwards.
 * @param {string} name prefix of the names of shared chunks, before a hash
 * @returns {import('esbuild').Plugin}
 */
export const commonJsParts = (name) => ({
  name: 'common-js-parts',
  setup: ({ initialOptions, onEnd }) => {
    const { sourcemap, minify = false, target = 'node20', outdir = '.' } = initialOptions;
    const folder = join(initialOptions.absWorkingDir ?? '.', outdir);
    Object.assign(initialOptions, {
      format: 'esm',
      splitting: true,
      chunkNames: `${name}-[hash]`,
      write: false,
      sourcemap: sourcemap ? 'inline' : false,
      // A link would be code of the part.
      legalComments: initialOptions.legalComments === 'none' ? 'none' : 'external',
    });
    onEnd(async ({ errors, outputFiles = [] }) => {
      if (errors.length > 0) return;
      await removeShared(folder, name);
      for (const { path, text } of outputFiles) {
        await mkdir(dirname(path), { recursive: true });
        const { code } = path.endsWith('.js')
          ? await transform(text, {
              format: 'cjs',
              platform: 'node',
              supported: { 'dynamic-import': false },
              sourcemap: sourcemap ? 'inline' : false,
              ...{ minify, target },
            })
          : { code: text };
        await writeFile(path, code);
      }
    });
  },
});

/**
 * Removes shared chunks of earlier builds, which have other names.
 * @param {string} folder
 * @param {string} name
 */
async function removeShared(folder, name) {
  const files = await readdir(folder).catch(() => /** @type {string[]} */ ([]));
  const shared = files.filter((file) => new RegExp(`^${name}-[A-Z\\d]{8}\\.js`).test(file));
  await Promise.all(shared.map((file) => rm(join(folder, file))));
}

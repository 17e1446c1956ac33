import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './repository.mjs';

/**
 * @typedef {typeof import('../../extension/core/operations/operations')
 *   & typeof import('../../extension/core/operations/build-request')
 *   & typeof import('../../extension/core/operations/fields')
 *   & typeof import('../../extension/core/operations/json-schema')
 *   & typeof import('../../extension/core/operations/tool-declaration')
 *   & typeof import('../../extension/core/operations/tool-names')
 *   & typeof import('../../extension/core/message')
 *   & typeof import('../../extension/core/document-names')
 *   & typeof import('../../extension/core/documents/document-types')
 *   & typeof import('../../extension/core/plans/plan-schema')
 *   & typeof import('../../extension/core/export/hugging-face/layouts')
 *   & typeof import('../../extension/core/export/output-formats')
 *   & typeof import('../../extension/core/export/gguf/gguf-options')
 *   & typeof import('../../extension/core/models/model-family')
 *   & typeof import('../../extension/core/models/transformer/architectures')
 *   & typeof import('../../extension/core/models/encoders/encoder-architectures')
 *   & typeof import('../../extension/core/models/seq2seq/seq2seq-families')
 *   & typeof import('../../extension/core/models/stages/staged-families')
 *   & typeof import('../../extension/core/models/gguf/gguf-families')
 *   & typeof import('../../extension/core/models/quantized/quantization')
 *   & typeof import('../../extension/core/models/parts/rotary')
 *   & typeof import('../../extension/core/models/parts/activations')
 *   & typeof import('../../extension/core/checkpoints/ggml-types')
 *   & typeof import('../../extension/services/activation/panel-view-types')
 *   & typeof import('../../extension/services/documents/document-views')
 *   & typeof import('../../extension/core/tensornet/compression-choice')
 *   & typeof import('../../extension/cli/options')
 *   & typeof import('../../extension/cli/presenters')
 *   & typeof import('../../extension/cli/run-operation')} Declarations
 */

const modules = [
  'core/operations/operations',
  'core/operations/build-request',
  'core/operations/fields',
  'core/operations/json-schema',
  'core/operations/tool-declaration',
  'core/operations/tool-names',
  'core/message',
  'core/document-names',
  'core/documents/document-types',
  'core/plans/plan-schema',
  'core/export/hugging-face/layouts',
  'core/export/output-formats',
  'core/export/gguf/gguf-options',
  'core/models/model-family',
  'core/models/transformer/architectures',
  'core/models/encoders/encoder-architectures',
  'core/models/seq2seq/seq2seq-families',
  'core/models/stages/staged-families',
  'core/models/gguf/gguf-families',
  'core/models/quantized/quantization',
  'core/models/parts/rotary',
  'core/models/parts/activations',
  'core/checkpoints/ggml-types',
  'services/activation/panel-view-types',
  'services/documents/document-views',
  'core/tensornet/compression-choice',
  'cli/options',
  'cli/presenters',
  'cli/run-operation',
];

/**
 * Declarations of the extension, for scripts. Bundles the TypeScript first.
 * @returns {Promise<Declarations>}
 */
export async function loadDeclarations() {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-declarations-'));
  const outfile = join(folder, 'declarations.cjs');
  try {
    // The libraries that stay outside of the bundle are found from its folder.
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
    await build({
      absWorkingDir: root,
      stdin: {
        contents: modules.map((path) => `export * from './extension/${path}';`).join('\n'),
        resolveDir: root,
        loader: 'ts',
      },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      mainFields: ['module', 'main'],
      logLevel: 'warning',
      external: ['onnxruntime-node', 'valibot'],
      define: { 'import.meta.dirname': '__dirname', 'import.meta.url': 'importMetaUrl' },
      banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
    });
    return createRequire(import.meta.url)(outfile);
  } finally {
    await rm(folder, { recursive: true });
  }
}

import { relative } from 'node:path';
import { BaseSequencer } from 'vitest/node';
import { root } from './repository.mjs';

/**
 * Files that take long for their size, longest first: a long file that starts last keeps one core
 * busy while the others idle. Other files are ordered by size.
 */
const LONGEST = [
  ...[
    'e2e/without-models',
    'e2e/main-job',
    'e2e/repair',
    'e2e/heatmap',
    'e2e/compression',
    'e2e/models',
  ],
  ...['unit/runtime/webgpu', 'unit/distribute/queue', 'unit/reliability/session-counts'],
  ...['unit/operations/fit-model', 'unit/cli/cli', 'unit/reliability/memory-group'],
  ...['unit/export/newer-families-to-gguf', 'unit/pipelines/round-model', 'unit/docs/commands'],
  ...['unit/pipelines/repair-model', 'unit/pipelines/narrow', 'unit/export/compressed'],
  ...['unit/models/families', 'unit/models/encodings/models-with-forms', 'unit/export/encoders'],
  ...['unit/pipelines/patch-families', 'unit/traces/traces'],
  // After the other GPU tests: Mesa then has cached shaders that both need.
  'unit/runtime/devices',
].map((name) => `test/${name}.test.ts`);

/** @param {import('vitest/node').TestSpecification} file */
const rank = ({ moduleId }) => {
  const found = LONGEST.indexOf(relative(root, moduleId).replaceAll('\\', '/'));
  return found < 0 ? LONGEST.length : found;
};

export class LongestFirst extends BaseSequencer {
  /** @override @param {import('vitest/node').TestSpecification[]} files */
  async sort(files) {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

// Makes each write of an operation fail once, at the first and the last call of each place in the code, or at N of them:
// node scripts/faults.mjs [--sites 100] [--log] [KIND …]
// Faults: ENOSPC, EACCES, EIO, EMFILE, a killed process, and a deleted output folder. The error must name a file and a fix, the source must
// be unchanged, nothing incomplete may look finished, and the next run must give the result of an undisturbed one.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runHarness } from './lib/harness.mjs';
import { root } from './lib/repository.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sites: { type: 'string', default: 'Infinity' },
    log: { type: 'boolean', default: false },
  },
});

await runHarness('faults-main', [], (folder) => [
  ...[join(root, 'test/fixtures/models/llama-gqa-untied'), folder, join(root, 'samples')],
  ...[values.sites, String(values.log), ...positionals],
]);

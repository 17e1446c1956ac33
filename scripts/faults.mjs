// Lets each place of an operation that writes fail once, in turn, at its first call and its last, or so many of them:
// node scripts/faults.mjs [--sites 100] [--log] [KIND …]
// With ENOSPC, EACCES, EIO, EMFILE, as if the process were killed there, and as if somebody deleted the output folder. The error must name
// a file and a remedy, the source must have the same bytes, nothing may look finished that is not, and the next run must give what an
// undisturbed one gives.
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

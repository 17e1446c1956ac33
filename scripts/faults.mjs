// Lets each call that writes of an operation fail once, in turn, or so many of them from the first to the last:
// node scripts/faults.mjs [--sites 100] [KIND …]
// With ENOSPC, EACCES, EIO, EMFILE, as if the process were killed there, and as if somebody deleted the output folder. The error must name
// a file and a remedy, the source must have the same bytes, nothing may look finished that is not, and the next run must give what an
// undisturbed one gives.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runHarness } from './lib/harness.mjs';
import { root } from './lib/repository.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sites: { type: 'string', default: 'Infinity' } },
});

await runHarness('faults-main', [], (folder) => [
  ...[join(root, 'test/fixtures/models/llama-gqa-untied'), folder, join(root, 'samples')],
  ...[values.sites, ...positionals],
]);

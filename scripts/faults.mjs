// Lets each call that writes of an operation fail once, in turn: node scripts/faults.mjs [KIND …]
// With ENOSPC, EACCES, EIO, EMFILE, and as if the process were killed there. The error must name a file and a remedy, the source must
// have the same bytes, nothing may look finished that is not, and the next run must give what an undisturbed one gives.
import { join } from 'node:path';
import process from 'node:process';
import { runHarness } from './lib/harness.mjs';
import { root } from './lib/repository.mjs';

await runHarness('faults-main', [], (folder) => [
  ...[join(root, 'test/fixtures/models/llama-gqa-untied'), folder, join(root, 'samples')],
  ...process.argv.slice(2),
]);

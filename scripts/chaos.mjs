// Kills work at random moments and resumes it: node scripts/chaos.mjs [--blows 50] [--seed 1] [--log] [--kind KIND …]
// After each kill the source must have the same bytes, nothing may look finished that is not, and no process may be left; once it is
// discarded or finished nothing else may be left, and the result must be that of an undisturbed run.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runHarness } from './lib/harness.mjs';
import { root } from './lib/repository.mjs';

const { values } = parseArgs({
  options: {
    blows: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    log: { type: 'boolean', default: false },
    kind: { type: 'string', multiple: true, default: [] },
  },
});

await runHarness('chaos-main', ['window'], (folder, [window = '']) => [
  ...[join(root, 'dist'), window, join(root, 'test/fixtures/models/llama-gqa-untied'), folder],
  ...[values.blows, values.seed, String(values.log), ...values.kind],
]);

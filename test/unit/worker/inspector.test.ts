import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';

const inspector = join(import.meta.dirname, '../../../dist/inspector.js');

it('opens a model without waiting for ONNX Runtime or for later requests', () => {
  const list =
    'require(process.argv[1]); console.log(Object.keys(require.cache).join("\\n")); process.exit()';
  const loaded = execFileSync(process.execPath, ['-e', list, inspector], { encoding: 'utf8' });
  expect(loaded).toContain(inspector);
  expect(loaded).not.toContain('onnxruntime');
  const whole = execFileSync(process.execPath, ['-e', list, join(inspector, '../worker.js')], {
    encoding: 'utf8',
  });
  expect(whole).toContain('onnxruntime');
});

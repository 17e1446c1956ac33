import { expect, it } from 'vitest';
import { asRunError } from '../../../extension/core/jobs/run-errors';

it('names a file of weights that was deleted during the run', () => {
  const said =
    'Error: External data path validation failed for initializer: w. Error: External data path does not exist: "/out/.model/0.safetensors"';
  expect(String(asRunError(new Error(said)))).toContain(
    '/out/.model/0.safetensors: The file was deleted during the run. Start again.',
  );
});

import { expect, it, vi } from 'vitest';
import { RequestError } from '../../extension/core/operations/build-request';
import { say } from '../../extension/core/message';
import { UserError } from '../../extension/core/user-error';

it('is recognized from another copy of the code, such as a bundle that is loaded later', async () => {
  vi.resetModules();
  const copy = await import('../../extension/core/user-error');
  expect(copy.UserError).not.toBe(UserError);
  const error = new copy.UserError('path-missing', say`There is no such file.`, {
    remedy: undefined,
  });
  expect(error).toBeInstanceOf(UserError);
  expect(error).not.toBeInstanceOf(RequestError);
  expect(new RequestError('request-not-object', say`It is no object.`)).toBeInstanceOf(UserError);
  expect(new Error('There is no such file.')).not.toBeInstanceOf(UserError);
});

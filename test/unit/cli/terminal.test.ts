import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { Terminal } from '../../../extension/cli/terminal';
import { say } from '../../../extension/core/message';

it('draws how far a stage is, in a line as wide as the terminal', () => {
  const err = Object.assign(new PassThrough(), { isTTY: true, columns: 60 });
  const terminal = new Terminal(new PassThrough() as never, err);
  const stage = say`Reading ${say`inputs`}`;
  terminal.progress({ stage, done: 1, total: 4, unit: 'steps' });
  const line = String(err.read());
  expect(line).toMatch(/█{6}░{18} {2}25 % {2}Reading inputs · 1\/4 steps/);
  terminal.progress({ stage: say`${'x'.repeat(80)}`, done: 1, total: 4, unit: 'steps' });
  expect(String(err.read()).replace('\r\u001b[2K', '')).toHaveLength(59);
});

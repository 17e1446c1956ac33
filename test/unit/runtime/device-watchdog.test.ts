import { fork } from 'node:child_process';
import { join } from 'node:path';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder';

const script = join(temporaryFolder(), 'calls.cjs');

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, 'blocked-calls.ts')],
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'cjs',
  });
});

/** Exit code and output of the process. */
async function run(kind: string): Promise<{ how: unknown; said: string }> {
  const child = fork(script, [kind], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      resolve({ how: signal ?? code, said });
    });
  });
}

describe('a device', () => {
  it('has no limit on the total time of many calls', async () => {
    expect(await run('answers')).toEqual({ how: 0, said: '' });
  });

  it.skipIf(process.platform === 'win32')(
    'that does not return from a call ends the process with a sentence',
    async () => {
      const { how, said } = await run('hangs');
      expect(how).toBe('SIGALRM');
      expect(said).toContain('The device has not answered');
      expect(said).toContain('the same command continues');
    },
  );
});

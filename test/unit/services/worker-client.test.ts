import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { operations } from '../../../extension/core/operations/operations';
import { profile as profileOperation } from '../../../extension/core/operations/profile';
import type { QuestionRequests } from '../../../extension/core/operations/questions/questions';
import type { RequestOfOperation } from '../../../extension/protocol/worker';
import { WorkerProcess } from '../../../extension/services/worker/worker-process';
import { WorkerClient } from '../../../extension/services/worker/worker-client';
import { RequestCancelled, WorkerCrashed } from '../../../extension/services/worker/worker-errors';
import { say } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { UserError } from '../../../extension/core/user-error';

const profile = (model: string): RequestOfOperation<'profile'> =>
  buildRequest(profileOperation, { model, out: 'none' });
const evaluate = {
  model: 'any',
  device: 'cpu',
  memory: '4GiB',
  wholeText: false,
  domains: false,
} as const;
const devices = { costs: false, device: 'auto' } as const;

const graceMilliseconds = 300;

const started = (module: string) => ({
  modulePath: join(import.meta.dirname, module),
  graceMilliseconds,
  onOutput: () => undefined,
  assertMayRun: () => undefined,
});

/** Starts a request whose worker blocks its thread, and waits until it does. */
async function startDeaf(
  client: WorkerClient,
  { token }: CancellationTokenSource,
): Promise<{ readonly running: Promise<unknown> }> {
  let running: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve) => {
    const onEvent = (): void => {
      resolve();
    };
    running = client.request('profile', profile('deaf'), { token, onEvent });
  });
  // In an object, so that the caller doesn't await it.
  return { running };
}

describe('WorkerClient', () => {
  let client: WorkerClient;

  beforeEach(() => {
    client = new WorkerClient(started('fake-worker.mjs'));
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    client.dispose();
  });

  it('starts a child without telemetry at the first request and keeps it', async () => {
    expect(client.pid).toBeUndefined();
    expect(await client.request('devices', devices)).toEqual([{ name: '1' }]);
    const first = await client.request('inspect', { model: 'a' });
    const second = await client.request('inspect', { model: 'b' });
    expect(first.fingerprint).toBe(second.fingerprint);
    expect(client.pid).toBe(Number(first.fingerprint));
  });

  it('keeps no answer', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const answer = new WeakRef(await client.request('inspect', { model: 'a' }));
    const isCollected = (): boolean => {
      collect();
      return answer.deref() === undefined;
    };
    await expect.poll(isCollected).toBe(true);
    expect(client.pid).toBeDefined();
  });

  it('forwards events and warnings to their request', async () => {
    const heard: unknown[] = [];
    const watch = {
      onEvent: (event: unknown) => heard.push(event),
      onWarning: (warning: Message) => heard.push(warning),
    };
    await client.request('profile', profile('quick'), watch);
    expect(heard).toEqual([say`falls back`, { kind: 'cosine-local', distances: [] }]);
  });

  it("carries over a user error's file and field", async () => {
    const failing = client.request('inspect', { model: 'bad' });
    await expect(failing).rejects.toBeInstanceOf(UserError);
    await expect(failing).rejects.toMatchObject({
      message: 'bad/config.json: model_type: no model_type.',
      subject: { file: 'bad/config.json', field: 'model_type' },
    });
  });

  it('cancels a request that listens, and keeps the child', async () => {
    const source = new CancellationTokenSource();
    const { fingerprint } = await client.request('inspect', { model: 'a' });
    const running = client.request('evaluate', evaluate, {
      token: source.token,
      onProgress: () => {
        source.cancel();
      },
    });
    await expect(running).rejects.toBeInstanceOf(RequestCancelled);
    expect(client.pid).toBe(Number(fingerprint));
  });

  it('cancels a request that is deaf by ending the child after the grace period', async () => {
    const source = new CancellationTokenSource();
    const { running } = await startDeaf(client, source);
    const kill = vi.spyOn(WorkerProcess.prototype, 'kill');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    source.cancel();
    vi.advanceTimersByTime(graceMilliseconds - 1);
    expect(kill).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(kill).toHaveBeenCalledOnce();
    vi.useRealTimers();
    await expect(running).rejects.toBeInstanceOf(RequestCancelled);
    expect((await client.request('inspect', { model: 'a' })).name).toBe('a');
  });

  it('sends quick requests again that a cancelled job took down', async () => {
    const source = new CancellationTokenSource();
    const { running } = await startDeaf(client, source);
    const inspected = client.request('inspect', { model: 'a' });
    source.cancel();
    await expect(running).rejects.toBeInstanceOf(RequestCancelled);
    expect((await inspected).name).toBe('a');
  });

  it('draws a diagram again that the end of a comparison took down', async () => {
    const inspector = new WorkerClient<QuestionRequests>(started('fake-worker.mjs'));
    const source = new CancellationTokenSource();
    const comparison = { model: 'a', against: 'b', weights: true };
    let comparing: Promise<unknown> = Promise.resolve();
    await new Promise<void>((resolve) => {
      comparing = inspector.request('compare', comparison, {
        token: source.token,
        onProgress: () => {
          resolve();
        },
      });
    });
    const diagram = inspector.request('diagram', { model: 'a', open: [] });
    source.cancel();
    await expect(comparing).rejects.toBeInstanceOf(RequestCancelled);
    expect(await diagram).toEqual({ reason: 'drawn' });
    inspector.dispose();
  });

  it('reports a killed child and starts another', async () => {
    const crashing = client.request('profile', profile('crash'));
    await expect(crashing).rejects.toBeInstanceOf(WorkerCrashed);
    await expect(crashing).rejects.toThrow(/ended during profile \(signal SIGKILL\)/);
    await expect(client.request('profile', profile('exit'))).rejects.toThrow(/exit code 3/);
    expect((await client.request('inspect', { model: 'a' })).name).toBe('a');
  });

  it('reports a worker that cannot be started', async () => {
    const broken = new WorkerClient(started('no-such-worker.mjs'));
    await expect(broken.request('devices', devices)).rejects.toBeInstanceOf(WorkerCrashed);
    broken.dispose();
  });

  it('rejects all operations except reading without trust', async () => {
    const refused = new WorkerClient({
      ...started('fake-worker.mjs'),
      assertMayRun: () => {
        throw new UserError('workspace-untrusted', say`This workspace is not trusted.`, {
          remedy: undefined,
        });
      },
    });
    for (const { id, trust, fields } of operations) {
      if (trust === 'inspect') {
        // Operations that write a result have to declare it.
        expect(Object.keys(fields), id).not.toContain('out');
      } else {
        await expect(refused.request(id, {} as never), id).rejects.toFailWith({
          code: 'workspace-untrusted',
        });
      }
    }
    const timed = { operation: 'profile', request: profile('a') } as const;
    await expect(refused.request('expect', timed)).rejects.toFailWith({
      code: 'workspace-untrusted',
    });
    await expect(refused.request('converse', {} as never)).rejects.toFailWith({
      code: 'workspace-untrusted',
    });
    expect(refused.pid).toBeUndefined();
    expect((await refused.request('inspect', { model: 'a' })).name).toBe('a');
    refused.dispose();
  });

  it('ends the child and refuses requests once disposed', async () => {
    await client.request('inspect', { model: 'a' });
    const running = client.request('evaluate', evaluate);
    client.dispose();
    await expect(running).rejects.toBeInstanceOf(WorkerCrashed);
    await expect(client.request('inspect', { model: 'a' })).rejects.toThrow(/deactivated/);
  });
});

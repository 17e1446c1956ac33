import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseQueueAddress } from '../../../extension/core/distribute/queue/address';
import {
  decode,
  failureKey,
  queueName,
  setupKey,
} from '../../../extension/core/distribute/queue/codec';
import { connect } from '../../../extension/core/distribute/queue/connection';
import type { QueueServer } from '../../../extension/core/distribute/queue/connection';
import * as library from '../../../extension/core/distribute/queue/library';
import { serveQueue } from '../../../extension/core/distribute/queue/queue-worker';
import { prefix, Registry } from '../../../extension/core/distribute/queue/registry';
import { buildChild } from '../build-child';
import { temporaryFolder } from '../temporary-folder';
import { Valkey } from './valkey';

const folder = temporaryFolder();
const scratch = join(folder, 'scratch');
const secret = join(folder, 'secret.txt');
const cancellation = { isCancellationRequested: false };
const events: (string | undefined)[] = [];

let server: Valkey;
let sender: QueueServer;
let serving: Promise<void>;

beforeAll(async () => {
  mkdirSync(join(folder, 'data'));
  mkdirSync(scratch);
  writeFileSync(secret, 'secret');
  server = await Valkey.start(join(folder, 'data'));
  const open = async (): Promise<QueueServer> =>
    connect(library, parseQueueAddress(server.url()), { allowOpen: true });
  sender = await open();
  const script = await buildChild('pieces');
  serving = serveQueue(
    await open(),
    {
      ...{ script, models: new Map(), data: new Map(), workers: 1, version: '0', scratch },
      limits: { memoryShare: 1, memoryBytes: 1 << 28, device: 'cpu' },
    },
    cancellation,
    ({ failure }) => events.push(failure),
  );
});

afterAll(async () => {
  cancellation.isCancellationRequested = true;
  await serving;
  sender.redis.disconnect();
  await server.stop();
});

const deep = '['.repeat(5_000_000);
/** Shared data of work items, as anyone with write access to the server may change it. */
const setups: Readonly<Record<string, string>> = {
  text: 'no JSON',
  deep,
  'deep in an object': `{"kind": "profile", "files": {}, "data": ${deep}`,
  'many values': `[${'{},'.repeat(5_000_000)}0]`,
  'a list': '[]',
  'no kind': '{"files": {}}',
  'a kind that is none': '{"kind": "constructor", "files": {}, "data": {}}',
  'a prototype': '{"__proto__": {"kind": "profile"}, "files": {"__proto__": "x"}}',
  'a path for a fingerprint': JSON.stringify({
    kind: 'profile',
    files: { model: secret },
    data: {},
  }),
  'a folder above': JSON.stringify({ kind: '../../secret', files: {}, data: { folder: '../..' } }),
  'escape sequences': JSON.stringify({
    kind: 'x',
    files: { '\u001b[2J': '\u001b]0;t\u0007' },
    data: {},
  }),
  'an array of odd bytes':
    '{"kind": "profile", "files": {}, "data": {"$array": "Float64Array", "bytes": "AAA"}}',
  'an array of no type':
    '{"kind": "profile", "files": {}, "data": {"$array": "constructor", "bytes": ""}}',
  'a huge number': '{"kind": "profile", "files": {}, "data": {"$number": "1e999", "model": 1e999}}',
};

it('a worker survives hostile jobs of a live server, and reports the error of each', async () => {
  const registry = new Registry(sender.redis, 'worker');
  await expect.poll(async () => registry.list()).toHaveLength(1);
  const [worker] = await registry.list();
  const queue = new library.Queue(queueName(worker?.id ?? ''), {
    ...{ connection: sender.redis, prefix, skipVersionCheck: true },
  });
  const orders: unknown[] = [
    ...[{}, { attempt: 1 }, { attempt: 'a', piece: ['b'], setup: {} }],
    { attempt: `${prefix}:x`, piece: '../x', setup: 'absent', request: deep },
  ];
  for (const [name, text] of Object.entries(setups)) {
    await sender.redis.set(setupKey(name), text);
    orders.push({
      attempt: name,
      piece: `piece of ${name}`,
      setup: name,
      request: { path: secret },
    });
  }
  for (const order of orders) await queue.add('piece', order);
  await expect.poll(() => events.length).toBe(orders.length);
  expect(events.slice(0, 3)).toEqual(
    Array<string>(3).fill("The queue sent a message that isn't a piece."),
  );
  for (const failure of events) {
    expect(failure).toBeDefined();
    expect(failure).not.toMatch(/\p{Cc}/u);
    expect(failure).not.toContain('secret.txt: secret');
  }
  for (const name of Object.keys(setups)) {
    const failure = decode((await sender.redis.get(failureKey(name))) ?? 'null');
    expect(failure, name).toMatchObject({ text: expect.stringMatching(/./) as string });
  }
  expect(await registry.list()).toHaveLength(1);
  // Nothing is left but what the worker made in its own folder.
  expect(readdirSync(folder).sort()).toEqual(['data', 'scratch', 'secret.txt']);
  await queue.close();
});

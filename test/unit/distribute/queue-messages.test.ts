import type { Redis } from 'ioredis';
import * as v from 'valibot';
import { expect, it, vi } from 'vitest';
import {
  parseQueueAddress,
  withoutPassword,
} from '../../../extension/core/distribute/queue/address';
import { Answers } from '../../../extension/core/distribute/queue/answers';
import {
  decode,
  encode,
  failureKey,
  resultKey,
} from '../../../extension/core/distribute/queue/codec';

it('an answer that cannot be read is a failure that nobody meets again', async () => {
  const failed = {
    text: 'no \u{202e}memory\u{1b}[2J',
    log: ['out of\u{1b}[2J'],
    ...{ isFinal: false, isLost: true },
  };
  const there = new Map([
    [resultKey('not JSON'), 'not JSON'],
    [resultKey('other'), JSON.stringify({ sums: [1, '\u{1b}]0;2'] })],
    [failureKey('4'), '{}'],
    [failureKey('5'), JSON.stringify(failed)],
  ]);
  const redis = {
    mget: async (keys: readonly string[]) =>
      Promise.resolve(keys.map((key) => there.get(key) ?? null)),
    del: async (key: string) => Promise.resolve(there.delete(key)),
  };
  const answers = new Answers(redis as unknown as Redis);
  const wait = async (attempt: number, key: string): Promise<unknown> =>
    answers.wait(String(attempt), { key, result: v.object({ sums: v.array(v.number()) }) });
  await expect(wait(1, 'not JSON')).rejects.toThrow('Its result cannot be read: Invalid type');
  await expect(wait(2, 'other')).rejects.toThrow(
    /^Its result cannot be read: sums\.1: .*number but received "\\u\{1b\}]0;2"\.$/,
  );
  expect([...there.keys()]).toEqual([failureKey('4'), failureKey('5')]);
  await expect(wait(4, 'a')).rejects.toThrow('Its failure cannot be read: text: ');
  await expect(wait(5, 'b')).rejects.toMatchObject({
    message: 'no \\u{202e}memory\\u{1b}[2J',
    log: ['out of\\u{1b}[2J'],
  });
});

it('numbers that JSON lacks are carried', () => {
  const sent = { sums: [Number.NaN, Infinity, -Infinity, 0.1], data: Float32Array.of(Number.NaN) };
  expect(decode(encode(sent))).toEqual(sent);
});

it.each([
  ['redis://host', 'secret'],
  ['redis://host:6379/2', 'secret'],
  ['redis://me@host', 'secret'],
  ['redis://:own@host', 'own'],
  ['redis://you@host', undefined],
  ['redis://host:6380', undefined],
  ['redis://other', undefined],
  ['redis://host.other', undefined],
  ['rediss://host', undefined],
])('%s is sent the password that the environment has for redis://me@host: %s', (address, sent) => {
  vi.stubEnv('ESPALIER_QUEUE_LOGIN', 'redis://me:secret@host');
  expect(parseQueueAddress(address).password).toBe(sent);
  vi.unstubAllEnvs();
});

it.each(['redis://me:50%25@host', 'redis://me:50%@host'])('%s has a password', (address) => {
  expect(parseQueueAddress(address)).toMatchObject({ password: '50%', shown: 'redis://me@host' });
});

it.each([
  ['redis://host:6379', 'redis://host:6379'],
  ['redis://me@host:6379', 'redis://me@host:6379'],
  ['redis://:secret@host', 'redis://@host'],
  ['rediss://me:se:cr@et@host:1/2', 'rediss://me@host:1/2'],
])('%s Compressed layers are stored as %s', (address, stored) => {
  expect(withoutPassword(address)).toBe(stored);
});

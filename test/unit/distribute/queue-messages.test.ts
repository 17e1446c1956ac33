import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import {
  parseQueueAddress,
  withoutPassword,
} from '../../../extension/core/distribute/queue/address';
import { Answers } from '../../../extension/core/distribute/queue/answers';
import { decode, encode } from '../../../extension/core/distribute/queue/codec';
import { failureKey, resultKey } from '../../../extension/core/distribute/queue/messages';

it('an answer that cannot be read is a failure, and not waited for', async () => {
  const there = new Map([
    [resultKey('a'), 'not JSON'],
    [failureKey('second'), '{}'],
  ]);
  const redis = {
    mget: async (keys: readonly string[]) =>
      Promise.resolve(keys.map((key) => there.get(key) ?? null)),
  };
  const answers = new Answers(redis as unknown as Redis);
  await expect(answers.wait('first', 'a')).rejects.toThrow(/JSON/);
  await expect(answers.wait('second', 'b')).rejects.toThrow(/cannot be read/);
});

it('numbers that JSON lacks are carried', () => {
  const sent = { sums: [Number.NaN, Infinity, -Infinity, 0.1], data: Float32Array.of(Number.NaN) };
  expect(decode(encode(sent))).toEqual(sent);
});

it.each(['redis://me:50%25@host', 'redis://me:50%@host'])('%s has a password', (address) => {
  expect(parseQueueAddress(address)).toMatchObject({ password: '50%', shown: 'redis://me@host' });
});

it.each([
  ['redis://host:6379', 'redis://host:6379'],
  ['redis://me@host:6379', 'redis://me@host:6379'],
  ['redis://:secret@host', 'redis://@host'],
  ['rediss://me:se:cr@et@host:1/2', 'rediss://me@host:1/2'],
])('%s is stored as %s', (address, stored) => {
  expect(withoutPassword(address)).toBe(stored);
});

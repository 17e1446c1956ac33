import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const model = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const text = join(folder, 'text.txt');
const table = join(folder, 'some.sensitivity.json');
const env = { XDG_CACHE_HOME: join(folder, 'cache') };
const calibrated = [
  ...['--calibration', text, '--sequences', '2', '--length', '16', '--device', 'cpu'],
];

const run = async (...args: string[]) => runCli(args, { env });

beforeAll(async () => {
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
});

describe('usage errors', () => {
  it.each([
    [['sensitivity', model, '--roles', 'middle'], /^--roles takes some of query/],
    [['sensitivity', model, '--blocks', '1,x'], /^--blocks takes numbers and ranges such as 0-3,7/],
    [['sensitivity', model, '--seed', '-1'], /^--seed takes an integer of at least 0, not -1/],
    [
      ['sensitivity', model, '--calibration-policy', 'max'],
      /^--calibration-policy needs --calibration-scores/,
    ],
  ])('%j: the cause and a hint', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).toMatch(/\nSee espalier ([a-z]+ )?--help\.$/);
  });
});

describe('failures', () => {
  it.each([
    [
      ['sensitivity', model, '--blocks', '3-1', ...calibrated],
      /--blocks: The range 3-1 ends before/,
    ],
    [['sensitivity', model, '--methods', 'int4,int3', ...calibrated], /--methods: "int3" is not/],
  ])('%j: say what is wrong', async (args, message) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

it('measures the layers that are asked for, by the methods, and writes what it prints', async () => {
  const asked = ['--methods', 'int8:32,int4:16', '--roles', 'down, up', '--blocks', '0-1,3'];
  const { code, stdout, stderr } = await run(
    ...['sensitivity', model, ...asked, '--metric', 'kl', ...calibrated, '--out', table, '--json'],
  );
  expect(code, stderr).toBe(0);
  const profile = JSON.parse(stdout) as SensitivityProfile;
  expect(profile).toEqual(JSON.parse(await readFile(table, 'utf8')));
  expect(profile.metric).toBe('kl');
  expect(profile.calibration).toMatchObject({ sequences: 2, length: 16 });
  expect(new Set(profile.layers.map(({ block }) => block))).toEqual(new Set([0, 1, 3]));
  expect(new Set(profile.layers.map(({ role }) => role))).toEqual(new Set(['up', 'down']));
  for (const { entries } of profile.layers) {
    expect(entries.map(({ method, level }) => [method, level])).toEqual([
      ['int8', 32],
      ['int4', 16],
    ]);
  }
});

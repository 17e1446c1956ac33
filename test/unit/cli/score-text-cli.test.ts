import { existsSync } from 'node:fs';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TextScores } from '../../../extension/core/data/text-scores';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const folder = temporaryFolder();
const model = join(folder, 'model');
const text = join(folder, 'note.txt');
const some = ['score-text', model, '--text', text, '--length', '12', '--windows', '3'];

beforeAll(async () => {
  await cp(fixture('llama-gqa-untied'), model, { recursive: true });
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
});

describe('espalier score-text', () => {
  it('writes the scores next to the model, and shows both ends', async () => {
    const { code, stdout, stderr } = await runCli(some);
    expect(code, stderr).toBe(0);
    const file = join(folder, 'model.note.textscores.json');
    expect(stderr).toContain(`Scores: ${file}`);
    const { scores, text: scored } = JSON.parse(await readFile(file, 'utf8')) as TextScores;
    expect(scores).toHaveLength(3);
    expect(scored).toMatchObject({ source: text, length: 12 });
    expect(stdout).toContain('3 windows');
    expect(stdout).toContain('--calibration-scores (default: max)');
  });

  it('prints them as JSON, and writes no file that was not named', async () => {
    const before = await readdir(folder);
    const { stdout } = await runCli([...some, '--windows', '2', '--json']);
    expect((JSON.parse(stdout) as TextScores).scores).toHaveLength(2);
    expect(await readdir(folder)).toEqual(before);
    const out = join(folder, 'named.textscores.json');
    expect((await runCli([...some, '--out', out, '--json'])).code).toBe(0);
    expect(existsSync(out)).toBe(true);
  });

  it.each([
    [['--length', '1'], '--length accepts an integer of at least 2, not 1.'],
    [['--windows', '0'], '--windows accepts an integer of at least 1, not 0.'],
  ])('%j is a usage error', async (args, message) => {
    const { code, stderr } = await runCli(['score-text', model, ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

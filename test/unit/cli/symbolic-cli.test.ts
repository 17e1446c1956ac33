import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { libraryDocument } from '../../../extension/core/symbolic/language/library-file';
import { archivedLibrary, archivedVectors, primitiveVectors } from '../symbolic/vectors';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const library = join(temporaryFolder(), 'library.json');

beforeAll(async () => {
  await writeFile(library, JSON.stringify(libraryDocument(archivedLibrary())));
});

describe('espalier symbolic', () => {
  it('evaluates a program to the released form of its graph', async () => {
    const [vector] = primitiveVectors;
    const plain = await runCli(['symbolic', 'evaluate', vector?.program ?? '', '--json']);
    expect(JSON.stringify(JSON.parse(plain.stdout))).toBe(vector?.json);
    const [archived] = archivedVectors.slice(-1);
    const args = ['symbolic', 'evaluate', archived?.program ?? '', '--library', library];
    const { stdout: json } = await runCli([...args, '--json']);
    expect(JSON.stringify(JSON.parse(json))).toBe(archived?.json);
    const { stdout } = await runCli(args);
    expect(stdout).toMatch(/^7 nodes, 6 edges; size 6, mass 23\n {2}0 ─ 1 \(port 0\)\n/);
  });

  it('answers a rejection with its reason', async () => {
    const { code, stdout } = await runCli([
      'symbolic',
      'evaluate',
      '(push (ad identity))',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      rejected: 'parse-error',
      message: 'There is no symbol "ad" (character 8).',
      position: 7,
    });
    const human = await runCli(['symbolic', 'evaluate', '(push (add identity))']);
    expect(human.stdout).toBe('Rejected: The last node that was added is not connected.\n');
  });

  it('enumerates programs by size', async () => {
    const args = ['symbolic', 'enumerate', '--max-size', '5'];
    expect(JSON.parse((await runCli([...args, '--json'])).stdout)).toEqual({
      programs: [1, 7, 50, 364, 2697],
      kept: [0, 0, 0, 1, 22],
      distinctGraphs: [0, 0, 0, 1, 1],
    });
    const { stdout } = await runCli([...args, '--library', library]);
    expect(stdout).toMatch(/^size {2}programs/);
    expect(stdout.trimEnd().split('\n').length).toBe(7);
  });

  it('reports errors in its arguments', async () => {
    const errors = await Promise.all(
      [
        ['symbolic'],
        ['symbolic', 'evaluate'],
        ['symbolic', 'enumerate'],
        ['symbolic', 'enumerate', '--max-size', '0'],
        ['symbolic', 'enumerate', '--max-size', '12'],
        ['symbolic', 'evaluate', 'identity', '--library', `${library}.missing`],
        ['symbolic', 'enumerat'],
        ['symbolic', 'enumerate', '--max-size', '2.5'],
      ].map(async (args) => runCli(args)),
    );
    expect(errors.map(({ code }) => code)).toEqual([2, 2, 2, 2, 1, 1, 2, 2]);
    expect(errors[0]?.stderr).toMatch(
      /^Give a command: symbolic evaluate or symbolic enumerate\.\nSee espalier symbolic --help\.$/m,
    );
    expect(errors[1]?.stderr).toContain('Pass one program');
    expect(errors[2]?.stderr).toMatch(
      /^--max-size is required\.\nSee espalier symbolic enumerate --help\.$/m,
    );
    expect(errors[4]?.stderr).toContain('Choose a size of 9 at most');
    expect(errors[4]?.stderr).toMatch(/^error: --max-size: /);
    expect(errors[5]?.stderr).toContain('library.json.missing');
    expect(errors[6]?.stderr).toContain('There is no command "symbolic enumerat".');
    expect(errors[7]?.stderr).toContain('--max-size accepts an integer of at least 1, not 2.5.');
  });
});

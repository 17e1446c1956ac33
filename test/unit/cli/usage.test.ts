import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { pathToFileURL } from 'node:url';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import { operationGroups } from '../../../extension/core/operations/operation';
import { fieldFlags } from '../../../extension/cli/options';
import { getPresenter } from '../../../extension/cli/presenters';
import type { ApplyResult } from '../../../extension/core/operations/apply-plan';
import type { Fields } from '../../../extension/core/operations/fields';
import { operations } from '../../../extension/core/operations/operations';
import type { OperationId } from '../../../extension/core/operations/operations';
import type { Plan } from '../../../extension/core/plans/plan';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { interruptCli, runCli, spawnCli } from './run-cli';

const model = fixture('llama-gqa-untied');
const small = ['--sequences', '2', '--length', '16', '--device', 'cpu'];
const folder = temporaryFolder();
const text = join(folder, 'text.txt');
const profile = join(folder, 'some.layerprofile.json');
const calibrated = ['--calibration', text, ...small];

const run = async (...args: string[]) => runCli(args);

/** The JSON that a command prints, which keeps to what its operation promises. */
async function json<T>(id: OperationId, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await run(id, ...args, '--json');
  expect(code, stderr).toBe(0);
  const result: unknown = JSON.parse(stdout);
  const schema = operations.find((operation) => operation.id === id)?.result;
  expect(schema && v.is(schema, result), `${id} keeps its promise`).toBe(true);
  return result as T;
}

beforeAll(async () => {
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  const made = ['profile', model, ...calibrated, '--remove', '4', '--no-baselines'];
  expect((await run(...made, '--out', profile)).code).toBe(0);
});

describe('usage errors', () => {
  it.each([
    [['profil'], /^There is no command "profil"\. .*profile.*\nSee espalier --help\.$/],
    [['profile', model, '--metrc', 'js'], /^There is no option --metrc\. .*--metric/],
    [['profile', model, '--metric'], /^--metric needs a value\.\nSee espalier profile --help\.$/],
    [['profile', model, '--memory', '10'], /^--memory accepts a size with its unit.*"10"\./],
    [['profile', model, '--memory', '10MiB'], /at least 64MiB, or auto, not "10MiB"\./],
    [['profile', model, '--exclude', '2'], /^--exclude accepts a number from 0 to 1, not 2\./],
    [['profile', model, '--remove', '-2'], /^--remove accepts an integer of at least 1, not -2\./],
    [
      ['profile', model, '--ratio', '0'],
      /^--ratio accepts a number above 0 and at most 1, not 0\./,
    ],
    [['profil', '--help'], /^There is no command "profil"\. .*profile/],
    [['inspect', model, model], /^Too many arguments/],
    [['evaluate'], /^MODEL or --plan is required\./],
    [['evaluate', model, '--task', 'a', '--text', 'b'], /^--text has no effect with --task/],
    [['prune', '--plan', 'a', '--protect', 'block.2', '--out', 'x'], /^--protect .* --plan/],
    [['prune', '--plan', 'a', '--metric', 'kl', '--out', 'x'], /^--metric .* --plan/],
    [['prune', '--plan', 'a', '--profile', 'b', '--out', 'x'], /^--profile .* --plan/],
    [['prune', model, '--profile', 'b', '--out', 'x'], /--remove/],
    [['apply', 'a', '--no-calibration', '--sequences', '3', '--out', 'x'], /--no-calibration/],
    [['compress', model, '--method', 'int8', '--budget', '0.5', '--out', 'x'], /^Use only one/],
  ])('%j: the cause and a hint', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
    expect(stderr.trimEnd()).toMatch(/\nSee espalier ([a-z]+ )?--help\.$/);
  });
});

describe('failures', () => {
  it.each([
    [
      ['inspect', join(folder, 'nothing')],
      1,
      { code: 'path-missing', file: join(folder, 'nothing') },
    ],
    [
      ['profile', model, '--remove', '100', ...calibrated],
      1,
      { code: 'removals-too-many', field: '--remove' },
    ],
    [['profile', model, '--remove', '-2'], 2, { code: 'value-invalid', field: '--remove' }],
    [['profile', model, '--metrc', 'js'], 2, { code: 'flag-unknown' }],
    [['profile', model, '--metric'], 2, { code: 'flag-value-missing' }],
    [['profil'], 2, { code: 'command-unknown' }],
    [['inspect', model, model], 2, { code: 'command-line-invalid' }],
  ])('%j --json: prints the code', async ([command = '', ...args], exitCode, error) => {
    const { code, stdout, stderr } = await run(command, '--json', ...args);
    expect(code, stderr).toBe(exitCode);
    const failure = JSON.parse(stdout) as { readonly error: { readonly message: string } };
    expect(failure).toEqual({ error: { ...error, message: failure.error.message } });
    expect(stderr).toContain(failure.error.message);
  });

  it.each([
    [['profile', model, '--remove', '100', ...calibrated], /--remove: .* has 8 to remove/],
    [
      ['profile', model, '--remove', '5', '--granularity', 'block', ...calibrated],
      /--remove: .* has 4 to remove\. Choose a number from 1 to 4\./,
    ],
    [
      ['profile', model, '--remove', '1', '--granularity', 'expert', ...calibrated],
      /granularity expert: Nothing in the model can be removed/,
    ],
    [
      [
        'profile',
        model,
        '--remove',
        '1',
        '--protect',
        'block.0,block.1,block.2,block.3',
        ...calibrated,
      ],
      /--protect: Nothing can be removed/,
    ],
    [
      ['profile', onnxFixture('plain-dynamo'), '--remove', '1', ...small],
      /no residual branch.* Choose a model with a residual stream\./,
    ],
    [['inspect', text], /text\.txt: Unsupported file type\. .*\.gguf/],
    [['tensors', text], /text\.txt: Unsupported file type\. .*\.gguf/],
  ])('%j: reports the error', async (args, message) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe('help', () => {
  it.each(operations.map((operation) => [operation.id, operation] as const))(
    '%s has a line for every option',
    async (id, { fields, summary }) => {
      const { code, stdout } = await run(...id.split(' '), '--help');
      expect(code).toBe(0);
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain(summary);
      const all: Fields = { ...fields, ...getPresenter(id).options };
      for (const [key, field] of Object.entries(all)) {
        for (const { long } of fieldFlags(key, field)) {
          expect(stdout).toMatch(new RegExp(`^  ${long}\\b.* {2}\\S`, 'm'));
        }
      }
    },
  );

  it('lists every command', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    const groups = new Set<string>();
    for (const { id } of operations) {
      const [name = '', subcommand] = id.split(' ');
      expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
      if (subcommand !== undefined) groups.add(name);
    }
    expect([...groups]).toEqual(['symbolic']);
    expect((await run('symbolic', '--help')).stdout).toMatch(
      /^ {2}evaluate\b.*\n(.*\n)*? {2}enumerate\b/m,
    );
    expect((await run()).code).toBe(2);
  });
});

describe('groups of the help', () => {
  it('contain every command once', async () => {
    const { stdout } = await run('--help');
    const listed = [...stdout.matchAll(/^(\S.*:)$|^ {2}([a-z][a-z-]*)/gm)].map(
      ([, heading, name]) => heading ?? name,
    );
    const others = ['completion', 'mcp', 'help'];
    const names = Object.entries(operationGroups).flatMap(([group, heading]) => [
      heading,
      ...new Set(operations.filter((one) => one.group === group).map(({ id }) => id.split(' ')[0])),
    ]);
    expect(listed.filter((one) => one !== 'Options:')).toEqual([...names, ...others]);
    expect(new Set(listed).size).toBe(listed.length);
  });
});

describe('a request as JSON', () => {
  it('is printed, read again, and flags win', async () => {
    const config = join(folder, 'config.json');
    const given = ['profile', model, '--remove', '2', '--metric', 'kl', '--no-baselines'];
    const printed = await run(...given, '--json', '--print-config');
    expect(JSON.parse(printed.stdout)).toMatchObject({
      model,
      remove: 2,
      metric: 'kl',
      search: defaultSettings.mode,
      baselines: false,
    });
    await writeFile(config, printed.stdout);
    const again = await run('profile', '--config', config, '--print-config', '--json');
    expect(again.stdout).toBe(printed.stdout);
    const changed = await run('profile', '--config', config, '--metric', 'js', '--print-config');
    expect(JSON.parse(changed.stdout)).toMatchObject({ metric: 'js', remove: 2 });
    // Defaults that do nothing in this search are printed too.
    const exact = await run('profile', model, '--search', 'exact', '--print-config');
    await writeFile(config, exact.stdout);
    const same = await run('profile', '--config', config, '--print-config');
    expect(same.stdout).toBe(exact.stdout);
    const other = await run('sensitivity', '--config', config);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('config.json: operation: The file holds options of "profile"');
    await writeFile(config, '{"metrik": "js"}');
    const unknown = await run('profile', model, '--config', config);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('metrik');
  });
});

it('reports a missing held-out text before a search', async () => {
  const { code, stdout, stderr } = await run('profile', model, '--held-out', 'none.txt');
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/none\.txt/);
});

describe('completion', () => {
  it('completes commands, flags and choices in bash', async () => {
    const script = join(folder, 'completion.bash');
    await writeFile(script, (await run('completion', 'bash')).stdout);
    const complete = async (...words: string[]): Promise<string[]> => {
      const code = `source ${script}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _espalier; echo "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)('bash', ['-c', code]);
      return stdout.trim().split(' ');
    };
    expect(await complete('espalier', 'prof')).toEqual(['profile']);
    expect(await complete('espalier', 'profile', '--met')).toEqual(['--metric']);
    expect(await complete('espalier', 'profile', '--metric', 'k')).toEqual(['kl']);
    expect(await complete('espalier', 'symbolic', 'e')).toEqual(['evaluate', 'enumerate']);
    expect(await complete('espalier', 'symbolic', 'enumerate', '--m')).toEqual(['--max-size']);
    expect(await complete('espalier', 'completion', 'f')).toEqual(['fish']);
  });

  it.each(['zsh', 'fish'])('prints a script for %s', async (shell) => {
    const { code, stdout } = await run('completion', shell);
    expect(code).toBe(0);
    for (const { id } of operations) {
      for (const word of id.split(' ')) {
        expect(stdout).toContain(word);
      }
    }
  });
});

describe('prune --profile', () => {
  it('accepts any prefix of a saved order without a search', async () => {
    const { rounds } = JSON.parse(await readFile(profile, 'utf8')) as LayerProfile;
    const order = rounds.map(({ removed }) => removed);
    const prune = async (...how: string[]): Promise<ApplyResult> =>
      json('prune', model, '--profile', profile, '--device', 'cpu', '--overwrite', ...how);
    const out = join(folder, 'prefix');
    const three = await prune('--remove', '3', '--out', out);
    expect([...three.removed].sort()).toEqual(order.slice(0, 3).sort());
    const quarter = await prune('--ratio', '0.25', '--metric', 'js', '--out', out);
    expect([...quarter.removed].sort()).toEqual(order.slice(0, 2).sort());
    const planned = await json<Plan>('plan', model, '--profile', profile, '--remove', '3');
    expect(planned.remove).toEqual(order.slice(0, 3));
  });

  it.each([
    [['--remove', '5'], /--remove: Cannot remove 5: .* has 4 removals/],
    [['--remove', '2', '--metric', 'kl'], /--metric: "kl" contradicts the profile .*"js"/],
    [['--remove', '2', '--sequences', '3'], /--sequences: 3 contradicts the profile .* 2/],
    [['--ratio', '0.9'], /--ratio: Only 4 removals in .*, fewer than requested/],
  ])('refuses %j', async (how, message) => {
    const out = join(folder, 'refused');
    const { code, stderr } = await run('prune', model, '--profile', profile, ...how, '--out', out);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe('reports about results', () => {
  it('is compared with the plan and with the original, a line per kind', async () => {
    const out = join(folder, 'shown');
    const args = ['prune', model, '--profile', profile, '--remove', '3', '--device', 'cpu'];
    const { code, stdout, stderr } = await run(...args, '--out', out);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^Removed (attention|feedforward): \d \(blocks? [\d, ]+\)$/m);
    expect(stdout).toMatch(
      /^Verified: it opens and runs, top-1 agreement with the plan 100.% on 64 tokens\.$/m,
    );
    expect(stdout).toMatch(/^Against the original: distance .*, top-1 agreement .* positions$/m);
    expect(stdout).toMatch(/^Perplexity on held-out text: .* → .*$/m);
    const quick = await run(...args, '--no-quality', '--verbose', '--overwrite', '--out', out);
    expect(quick.stdout).not.toContain('Against the original');
    expect(quick.stdout).toMatch(/^Removed \w+: block\.\d\.\w+/m);
  });

  it('is the same by a plan that is applied', async () => {
    const file = join(folder, 'plans', 'some.plan.json');
    await mkdir(join(folder, 'plans'));
    const made = ['plan', model, '--profile', profile, '--remove', '2', '--out', file];
    expect((await run(...made)).code).toBe(0);
    const result = await json<ApplyResult>(
      ...(['apply', file, '--device', 'cpu', '--out', join(folder, 'applied')] as const),
    );
    expect(result.removed).toHaveLength(2);
    expect(result.quality?.top1Agreement).toBeGreaterThan(0);
    const idle = await run('apply', file, '--qdq', '--out', join(folder, 'idle'));
    expect(idle.code).toBe(1);
    expect(idle.stderr).toMatch(/--qdq: .* compresses nothing/);
    const plan = JSON.parse(await readFile(file, 'utf8')) as object;
    const other = join(folder, 'plans', 'other.plan.json');
    await writeFile(other, JSON.stringify({ ...plan, remove: ['block.99.attention'] }));
    const { stderr } = await run('apply', other, '--out', join(folder, 'other'));
    expect(stderr).toMatch(/other\.plan\.json: remove: The model has no sublayer/);
  });
});

it('times a model', async () => {
  const { prefillMs, decodeMsPerToken } = await json<Record<string, number>>(
    ...(['latency', model, '--context', '8', '--tokens', '3', '--repeats', '2'] as const),
    ...['--device', 'cpu'],
  );
  expect(prefillMs).toBeGreaterThan(0);
  expect(decodeMsPerToken).toBeGreaterThan(0);
  const { code, stderr } = await run('latency', model, '--context', '100000');
  expect(code).toBe(1);
  expect(stderr).toMatch(/--context: .* are more than .* can read/);
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s exits with %d and lists the saved files', async (signal, expected) => {
  const args = ['profile', model, ...calibrated, '--search', 'naive', '--all'];
  const out = join(folder, `${signal}.layerprofile.json`);
  const journal = join(folder, `${signal}.layerprofile.journal.jsonl`);
  const { code, stderr } = await interruptCli([...args, '--out', out], {
    signal,
    file: journal,
    lines: 3,
  });
  expect(code).toBe(expected);
  expect(stderr).toContain(`progress is saved in ${journal}`);
  const saved = await readFile(journal, 'utf8');
  expect(saved.split('\n').length).toBeGreaterThan(3);
  const resumed = await runCli([...args, '--out', out]);
  expect(resumed.code).toBe(0);
  expect(JSON.parse(await readFile(out, 'utf8'))).toHaveProperty('rounds');
});

it('ends immediately on the second signal', async () => {
  const config = join(folder, 'hang.json');
  await writeFile(config, '{}');
  const { signal, stderr } = await spawnCli(['profile', model, '--config', config], {
    nodeArguments: ['--import', pathToFileURL(join(import.meta.dirname, 'hang.mjs')).href],
    environment: { ESPALIER_HANG: config },
    onStart: (child) => {
      child.stderr?.on('data', (data: Buffer) => {
        if (data.toString().includes('Press Ctrl-C again')) child.kill('SIGINT');
      });
      const timer = setInterval(() => {
        if (existsSync(`${config}.hung`)) {
          clearInterval(timer);
          child.kill('SIGINT');
        }
      }, 5);
    },
  });
  // The first signal would end it with a code, once the step has ended.
  expect(signal).toBe('SIGINT');
  expect(stderr).toContain('Stopping after this step.');
});

import { access, copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Evaluation, EvaluationResult } from '../../../extension/core/evaluate/evaluation';
import type { CompressResult } from '../../../extension/core/pipelines/compression/compress-model';
import type { ApplyResult } from '../../../extension/core/operations/apply-plan';
import type { Evaluated } from '../../../extension/core/operations/evaluate';
import type { PruneResult } from '../../../extension/core/pipelines/prune-result';
import type { OnnxSummary } from '../../../extension/core/models/onnx/onnx-summary';
import type { ModelSummary } from '../../../extension/core/models/model-summary';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import type { DeviceReport } from '../../../extension/core/runtime/device';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { inspectedOnly, quantizedFixture } from '../quantized-fixtures';
import { interruptCli, runCli, spawnCli } from './run-cli';

const model = fixture('llama-gqa-untied');
const small = ['--sequences', '2', '--length', '16', '--device', 'cpu'];
/** Long enough to be stopped. */
const long = ['--search', 'naive', '--all', '--no-baselines'];
const folder = temporaryFolder();
const text = join(folder, 'text.txt');

beforeAll(async () => {
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
});

/** A random MoE language model. */
async function mixtureFolder(): Promise<string> {
  const made = await makeRandomModel({
    seed: 5,
    blocks: 2,
    modelType: 'mixtral',
    vocabulary: 112,
  });
  const path = join(folder, 'mixture');
  await rename(made, path);
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(model, file), join(path, file));
  }
  return path;
}

describe('espalier', () => {
  it('inspects a model', async () => {
    const { code, stdout } = await runCli(['inspect', model, '--json']);
    const summary = JSON.parse(stdout) as ModelSummary;
    expect(code).toBe(0);
    expect(summary).toMatchObject({ architecture: 'llama', blocks: 4 });
    expect(summary.sublayers.map(({ id }) => id)).toContain('block.3.feedforward');
    const blockSum = summary.sublayers.reduce((sum, { parameters }) => sum + parameters, 0);
    expect(blockSum).toBeLessThan(summary.parameters);
  });

  it('inspects quantized models, and lists the supported operations', async () => {
    const awq = await runCli(['inspect', quantizedFixture('awq')]);
    expect(awq.stdout).toMatch(/quantized: awq \(gemm\), 4 bits, groups of 32, run as float32/);
    expect(awq.stdout).toMatch(/stored as: .*I32/);
    const older = inspectedOnly(join(folder, 'inspected'));
    const listed = await runCli(['inspect', older]);
    expect(listed.code).toBe(0);
    expect(listed.stderr).toMatch(/can be inspected, but not run/);
    const refused = await runCli(['evaluate', older, '--device', 'cpu']);
    expect(refused.code).toBe(1);
  });

  it('prunes a GGUF file to a GGUF file, block by block', async () => {
    const source = ggufFixture('llama.gguf');
    const out = join(folder, 'gguf');
    const args = ['prune', source, '--calibration', text, ...small, '--remove', '1', '--out', out];
    const run = await runCli([...args, '--granularity', 'feedforward']);
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/block\.1\.feedforward can't be removed alone/);
    const unknown = await runCli([...args, '--layout', 'zeroed']);
    expect(unknown.stderr).toMatch(/gguf has no layout zeroed.*Choose blocks or deci/s);
    const all = await runCli([...args.slice(0, -4), '--remove', '3', '--out', out]);
    expect(all.code).toBe(1);
    expect(all.stderr).toMatch(
      /3 of 4 candidates can't be removed alone in a GGUF file.*--granularity attention/,
    );
    expect(all.stderr).toMatch(/The first (?:round|2 rounds) can be written: give .*plan\.json/);
    const planned = await runCli([
      'prune',
      source,
      '--plan',
      `${out}.plan.json`,
      '--out',
      `${out}-planned`,
    ]);
    expect(planned.code, planned.stderr).toBe(0);
    const { code, stdout, stderr } = await runCli([...args, '--granularity', 'block', '--json']);
    expect(code, stderr).toBe(0);
    expect((JSON.parse(stdout) as PruneResult).format).toBe('gguf');
    const inspected = await runCli(['inspect', join(out, 'llama.gguf'), '--json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ blocks: 1, warnings: [] });
  });

  it('compresses by a method and by the plan that it leaves, and the result is a model', async () => {
    const out = join(folder, 'compressed');
    const args = ['--json', '--device', 'cpu'];
    const { code, stdout, stderr } = await runCli([
      ...['compress', model, '--method', 'lowrank', '--setting', '50%', '--then', 'int4'],
      ...['--skip', 'down', '--embeddings', '--head', '--no-calibration', '--out', out, ...args],
    ]);
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout) as CompressResult;
    const { layers, bytesBefore, bytesAfter, parametersBefore, parametersAfter } = result;
    expect(bytesAfter).toBeLessThan(bytesBefore);
    expect(parametersAfter).toBeLessThan(parametersBefore);
    expect(layers).toHaveLength(30);
    for (const layer of layers) {
      const isLeft = /down_proj|embed_tokens|lm_head/.test(layer.tensor);
      expect(layer).toMatchObject(
        isLeft ? { method: 'int4', setting: 32 } : { method: 'lowrank', then: 'int4' },
      );
      expect(layer.error).toBeGreaterThan(0);
    }
    const again = await runCli([
      ...['compress', '--plan', `${out}.plan.json`, '--no-calibration'],
      ...['--out', join(folder, 'again'), ...args],
    ]);
    expect((JSON.parse(again.stdout) as CompressResult).layers).toEqual(layers);
    const evaluated = await runCli(['evaluate', out, '--text', text, '--length', '16', ...args]);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    const table = await runCli(['inspect', out]);
    expect(table.stdout).toMatch(/compressed: 24 × low-rank, 6 × group-quantized/);
  });

  describe('embedding and head', () => {
    const table = join(folder, 'embeddingAndHead.sensitivity.json');
    let profiled: Awaited<ReturnType<typeof runCli>>;
    beforeAll(async () => {
      profiled = await runCli([
        ...['sensitivity', model, '--methods', 'int4:16,lowrank:50%', '--calibration', text],
        ...['--embeddings', '--head', ...small, '--out', table],
      ]);
    });

    it('are measured', () => {
      expect(profiled.code, profiled.stderr).toBe(0);
      expect(profiled.stdout).toMatch(
        /outside the blocks[^]*embedding model\.embed_tokens\.weight/,
      );
      expect(profiled.stdout).toMatch(/head lm_head\.weight +int4:16/);
    });

    it('are planned under a budget that the layers alone cannot keep to', async () => {
      const out = join(folder, 'budget');
      const compress = async (...args: string[]) =>
        runCli([
          ...['compress', model, '--budget', '0.25', '--sensitivity', table, '--rounds', '0'],
          ...['--calibration', text, ...small, '--out', out, '--json', ...args],
        ]);
      expect((await compress()).stderr).toMatch(/above the budget/);
      const { code, stdout, stderr } = await compress('--embeddings', '--head');
      expect(code, stderr).toBe(0);
      const { layers } = JSON.parse(stdout) as CompressResult;
      expect(layers.map(({ tensor }) => tensor)).toEqual(
        expect.arrayContaining(['model.embed_tokens.weight', 'lm_head.weight']),
      );
    });
  });

  it('reports the error of a compression', async () => {
    const out = join(folder, 'nothing');
    const outputText = async (...args: string[]): Promise<string> => {
      const { code, stderr } = await runCli(['compress', model, ...args, '--out', out]);
      expect(code).toBeGreaterThan(0);
      return stderr;
    };
    expect(await outputText()).toMatch(/^--method, --budget or --plan is required\./);
    expect(await outputText('--method', 'int4', '--setting', '24')).toMatch(
      /24 is not a valid setting of int4/,
    );
    expect(await outputText('--method', 'mpo:30%', '--head')).toMatch(
      /cannot be compressed by mpo/,
    );
    expect(await outputText('--plan', 'some.json', '--head')).toMatch(
      /^--head has no effect with --plan: /,
    );
    expect(await outputText('--method', 'int3')).toMatch(
      /begin with one of mpo, lowrank, int8, int4/,
    );
    expect(await outputText('--method', 'int8', '--roles', 'middle')).toMatch(
      /--roles accepts some of query/,
    );
    expect(await outputText('--method', 'int8', '--blocks', '7')).toMatch(
      /no linear layer of these roles/,
    );
    expect(await outputText('--method', 'lowrank', '--setting', '40')).toMatch(
      /would not be smaller|smaller setting/,
    );
  });

  it('inspects ONNX models: those of exporters, and its own by file or folder', async () => {
    const inspect = async (path: string): Promise<OnnxSummary> => {
      const { code, stdout, stderr } = await runCli(['inspect', path, '--json']);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout) as OnnxSummary;
    };
    const exported = await inspect(onnxFixture('gpt2-legacy'));
    expect(exported).toMatchObject({ architecture: 'onnx', opset: 17, blocks: 2 });
    expect(exported.ops['Softmax']).toBe(2);
    const [attention] = exported.sublayers;
    expect(attention?.nodes.some((name) => name.endsWith('Softmax'))).toBe(true);

    const plan = join(folder, 'own.plan.json');
    const remove = ['block.1.attention'];
    const document = { format: 'espalier.plan', version: 1, model: { path: model }, remove };
    await writeFile(plan, JSON.stringify(document));
    const own = join(folder, 'own-onnx');
    const args = ['prune', model, '--plan', plan, '--out', own, '--format', 'onnx'];
    const written = await runCli([...args, '--device', 'cpu']);
    expect(written.code, written.stderr).toBe(0);
    for (const path of [own, join(own, 'model.onnx')]) {
      const { sublayers } = await inspect(path);
      expect(sublayers.map(({ kind }) => kind[0]).join('')).toBe('affafaf');
      expect(sublayers[0]?.kvBytesPerToken).toBeGreaterThan(0);
    }
  });

  it.each([
    ['sublayers', async () => Promise.resolve(model), ['--remove', '2']],
    ['experts', mixtureFolder, ['--remove', '1', '--granularity', 'expert']],
  ] as const)(
    'profiles an ONNX model as the folder it came from, prunes and evaluates it: %s',
    async (name, source, how) => {
      const path = await source();
      const graph = join(folder, `${name}-onnx`);
      const plan = join(folder, `${name}.plan.json`);
      const document = { format: 'espalier.plan', version: 1, model: { path }, remove: [] };
      await writeFile(plan, JSON.stringify(document));
      const convert = ['prune', path, '--plan', plan, '--out', graph, '--format', 'onnx'];
      expect((await runCli([...convert, '--device', 'cpu'])).code).toBe(0);

      const options = ['--calibration', text, ...small, ...how, '--no-baselines', '--json'];
      const readProfile = async (path: string): Promise<LayerProfile> =>
        JSON.parse((await runCli(['profile', path, ...options])).stdout) as LayerProfile;
      const [ofFolder, ofGraph] = [await readProfile(path), await readProfile(graph)];
      expect(ofGraph.rounds.map(({ removed }) => removed)).toEqual(
        ofFolder.rounds.map(({ removed }) => removed),
      );
      for (const [i, { distance }] of ofGraph.candidates.entries()) {
        expect(distance).toBeCloseTo(ofFolder.candidates[i]?.distance ?? Number.NaN, 4);
      }

      const out = join(folder, `${name}-smaller`);
      const written = await runCli(['prune', graph, ...options, '--out', out]);
      expect(written.code, written.stderr).toBe(0);
      const result = JSON.parse(written.stdout) as PruneResult;
      expect(result.format).toBe('onnx');
      expect(result.verification.relativeError).toBeLessThan(1e-5);
      expect(result.bytesAfter).toBeLessThan(result.bytesBefore);

      const evaluated = await runCli([
        'evaluate',
        graph,
        '--against',
        out,
        ...['--text', text, '--device', 'cpu', '--json'],
      ]);
      const { perplexity, against } = JSON.parse(evaluated.stdout) as EvaluationResult;
      const reference = await runCli([
        ...['evaluate', path, '--text', text, '--device', 'cpu', '--json'],
      ]);
      expect(perplexity).toBeCloseTo((JSON.parse(reference.stdout) as Evaluation).perplexity, 1);
      expect(against?.perplexity).toBeGreaterThan(1);

      const inspected = await runCli(['inspect', out, '--json']);
      const { sublayers } = JSON.parse(inspected.stdout) as OnnxSummary;
      const experts = sublayers.flatMap((sublayer) => sublayer.experts?.count ?? []);
      expect(experts.sort()).toEqual(name === 'experts' ? [2, 3] : []);
    },
  );

  it('profiles, exact as naive, and writes nothing but JSON to a pipe', async () => {
    const profile = async (search: string, run: typeof runCli): Promise<LayerProfile> => {
      const args = ['profile', model, '--calibration', text, ...small, '--search', search];
      const { code, stdout, stderr } = await run([...args, '--remove', '3', '--json']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return JSON.parse(stdout) as LayerProfile;
    };
    const exact = await profile('exact', spawnCli);
    const naive = await profile('naive', runCli);
    expect(exact.rounds.map(({ removed }) => removed)).toEqual(
      naive.rounds.map(({ removed }) => removed),
    );
    expect(exact.candidates).toHaveLength(8);
    expect(naive.search.sublayerEvaluations).toBe(naive.search.naiveSublayerEvaluations);
    expect(exact.search.sublayerEvaluations).toBeLessThan(naive.search.sublayerEvaluations);
    expect(exact.baselines.reverse).toHaveLength(3);
    expect(exact.evaluations).toMatchObject([
      { rounds: 0, text: 'bundled' },
      { rounds: 3, text: 'bundled' },
    ]);
  });

  it('resumes after a kill, with the same result', async () => {
    const out = join(folder, 'resumed.layerprofile.json');
    const journal = join(folder, 'resumed.layerprofile.journal.jsonl');
    const args = ['profile', model, '--calibration', text, ...small, ...long];
    const lines = async (): Promise<number> =>
      (await readFile(journal, 'utf8').catch(() => '')).split('\n').length;
    const killed = await interruptCli([...args, '--out', out], {
      signal: 'SIGKILL',
      file: journal,
      lines: 11,
    });
    expect(killed.code).toBeNull();
    const before = await lines();
    const resumed = await runCli([...args, '--out', out]);
    expect(resumed.code).toBe(0);
    await expect(access(journal)).rejects.toThrow();
    const whole = await runCli([...args, '--json']);
    const expected = JSON.parse(whole.stdout) as LayerProfile;
    const actual = JSON.parse(await readFile(out, 'utf8')) as LayerProfile;
    expect(before).toBeGreaterThanOrEqual(12);
    expect(actual.rounds).toEqual(expected.rounds);
    expect(actual.candidates).toEqual(expected.candidates);
  });

  it('stops on Ctrl-C and prints the command that resumes', async () => {
    const out = join(folder, 'stopped.layerprofile.json');
    const args = ['profile', model, '--calibration', text, ...small, ...long];
    const stopped = await interruptCli([...args, '--out', out], {
      signal: 'SIGINT',
      file: join(folder, 'stopped.layerprofile.journal.jsonl'),
      lines: 3,
    });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain('Run the same command again');
    await expect(access(out)).rejects.toThrow();
  });

  it('prunes by ratio and evaluates before and after', async () => {
    const out = join(folder, 'pruned');
    const args = ['prune', model, '--ratio', '0.25', '--calibration', text, ...small];
    const limit = ['--require', 'parameters<-5%,agreement>0%'];
    const given = [...args, ...limit, '--no-baselines', '--out', out, '--json'];
    const pruned = await runCli(given);
    expect(pruned.code).toBe(0);
    const result = JSON.parse(pruned.stdout) as ApplyResult;
    expect(result.verdict?.outcome).toBe('accept');
    expect(result.removed).toHaveLength(2);
    expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
    const reopened = JSON.parse((await runCli(['inspect', out, '--json'])).stdout) as ModelSummary;
    expect(reopened.parameters).toBe(result.parametersAfter);

    const evaluation = ['evaluate', out, '--against', model, '--text', text, '--device', 'cpu'];
    const requirement = ['--length', '64', '--require', 'perplexity<-90%'];
    const { code, stdout } = await runCli([...evaluation, ...requirement, '--json']);
    const { perplexity, tokens, tokensPerSecond, against, ...compared } = JSON.parse(
      stdout,
    ) as Evaluated & EvaluationResult;
    expect(code).toBe(1);
    expect(compared.verdict?.outcome).toBe('regression');
    expect(compared.perplexityRatio?.value).toBeCloseTo(perplexity / (against?.perplexity ?? 0), 6);
    expect(tokens).toBe(against?.tokens);
    expect(tokens).toBeGreaterThan(100);
    expect(tokensPerSecond).toBeGreaterThan(0);
    expect(against?.perplexity).not.toBe(perplexity);

    const again = await runCli([...args, '--no-baselines', '--out', out]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(out);

    const plan = await readFile(`${out}.plan.json`, 'utf8');
    await writeFile(join(folder, 'edited.plan.json'), plan.replace(/"block\.[^"]*"/, '"block.9"'));
    const edited = ['prune', model, '--plan', join(folder, 'edited.plan.json')];
    const unknown = await runCli([...edited, '--out', join(folder, 'never')]);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('block.9');
  });

  it('lists devices, with the CPU among the working ones', async () => {
    const { code, stdout } = await runCli(['devices', '--json']);
    const reports = JSON.parse(stdout) as DeviceReport[];
    expect(code).toBe(0);
    expect(reports.find(({ name }) => name === 'cpu')?.works).toBe(true);
    expect(reports.filter(({ preferred }) => preferred)).toHaveLength(1);
  });

  it.each([
    [['profile', model, '--metric', 'wrong'], '--metric accepts one of js'],
    [['profile', model, '--remove', '1', '--all'], 'only one of'],
    [['profile', model, '--memory', 'lots'], '--memory accepts a size'],
    [['profile', model, '--remove', '0'], '--remove accepts an integer of at least 1'],
    [['profile', model, '--ratio', '1.5'], '--ratio accepts a number above 0'],
    [['profile', model, '--unknown'], '--unknown'],
    [['prune', model, '--remove', '1'], '--out'],
    [['prune', model, '--out', 'x'], '--plan'],
    [['inspect'], 'Specify one model'],
    [['fly'], 'no command "fly"'],
  ])('%j is a usage error', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  it.each([
    [['inspect', 'no-such-folder'], 'no-such-folder'],
    [['profile', model, '--remove', '99'], 'remove'],
    [['profile', model, '--ratio', '0.01'], 'ratio'],
    [['profile', model, '--protect', 'block.99'], 'block.99'],
    [['profile', model, '--out', '/proc/none/x.layerprofile.json'], '/proc/none/x'],
    [['profile', fixture('qwen2')], 'tokenizer.json'],
  ])('%j fails with a message that names the fault', async (args, message) => {
    const calibrated = args[0] === 'profile' ? ['--calibration', text, ...small] : [];
    const { code, stderr } = await runCli([...args, ...calibrated]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
    await expect(access(`${model}.layerprofile.journal.jsonl`)).rejects.toThrow();
  });
});

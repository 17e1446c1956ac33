import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { patchModel } from '../../../extension/core/pipelines/patching/patch-model';
import type {
  PatchRequest,
  PatchResult,
} from '../../../extension/core/pipelines/patching/patch-model';
import { workFolder } from '../../../extension/core/jobs/work-folder';
import { parsePlan } from '../../../extension/core/plans/plan-schema';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { patchKinds } from '../../../extension/core/symbolic/patch/contestants';
import { patchLibrary } from '../../../extension/core/symbolic/patch/compete';
import { makeRandomModel } from '../random-model';
import type { RandomModelShape } from '../random-model';
import { relativeError } from '../fixtures';
import { patchMaker } from '../some-patch';
import { temporaryFolder } from '../temporary-folder';
import { hashes, computeLogits, prune, readConfig, RecordedContext } from '../export/pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const somePatch = patchMaker(root);
const rows = [[1, 5, 9, 2, 30, 7, 7, 12]];
const text = join(import.meta.dirname, '../../../samples/calibration.txt');

const made = new Map<string, Promise<string>>();
/** A model of random weights, made once, as no test changes it; its inputs are drawn, since it has no tokenizer. */
const random = async (shape: Partial<RandomModelShape> = {}): Promise<string> => {
  const key = JSON.stringify(shape);
  const model = made.get(key) ?? makeRandomModel({ seed: 11, blocks: 3, ...shape });
  made.set(key, model);
  return model;
};

type Asked = Omit<PatchRequest, 'model'> & { readonly modelPath: string };

async function patchAt({ modelPath, ...given }: Asked, context: JobContext): Promise<PatchResult> {
  return patchModel({ ...given, model: await openModelFiles(modelPath) }, context);
}

/** More than one graph. */
const several: Partial<Asked> = { limits: { graphs: 2, programs: 500 } };

function request(modelPath: string, more: Partial<Asked> = {}): Asked {
  return {
    modelPath,
    sublayer: 'block.1.feedforward',
    text: { file: 'random', sequences: 10, length: 16 },
    bundledText: text,
    library: patchLibrary(),
    limits: { graphs: 1, programs: 200 },
    fitting: { epochs: 2, batch: 32, rate: 1e-3 },
    seed: 3,
    out: fresh(),
    anyway: true,
    overwrite: false,
    device: 'cpu',
    memoryBytes: 1 << 28,
    ...more,
  };
}

describe('a model with patches', () => {
  it.each(['block.1.attention', 'block.1.feedforward'])(
    'computes as if %s were skipped while the last layer is zero',
    async (id) => {
      const source = await random();
      const out = fresh();
      await prune(source, [], out, { patches: new Map([[id, await somePatch(16, 0)]]) });
      const skipped = await computeLogits(source, rows, [id]);
      expect(relativeError(await computeLogits(out, rows), skipped)).toBeLessThan(1e-6);
    },
  );

  it.each(['llama', 'qwen2', 'mistral'] as const)(
    'of the family %s is written as safetensors and ONNX that compute the same',
    async (modelType) => {
      const source = await random({ modelType });
      const before = hashes(source);
      const patches = new Map([
        ['block.0.attention', await somePatch(16, 2)],
        ['block.2.feedforward', await somePatch(16, 1)],
      ]);
      const out = fresh();
      const removed = ['block.1.attention', 'block.1.feedforward'];
      const result = await prune(source, removed, out, { patches });
      expect(result.patched).toEqual([...patches.keys()]);
      expect(result.removed).toEqual(removed);
      expect(result.verification.relativeError).toBeLessThan(1e-6);
      // Block 1 is removed, so block 2 is block 1 now.
      const { espalier } = readConfig(out) as { espalier: { removed: string[]; patches: object } };
      expect(espalier.removed).toEqual(['block.0.attention', 'block.1.feedforward']);
      expect(Object.keys(espalier.patches)).toEqual(espalier.removed);
      const { summary } = await openModel(out);
      expect(summary.parameters).toBe(result.parametersAfter);
      expect(summary.warnings).toEqual([]);
      expect(summary.sublayers.map(({ id, kind }) => `${id} ${kind}`)).toEqual([
        'block.0.attention patch',
        'block.0.feedforward feedforward',
        'block.1.attention attention',
        'block.1.feedforward patch',
      ]);
      const onnx = fresh();
      // The writer compares the graph, run with caches, with the layered model.
      const { verification } = await prune(source, removed, onnx, { patches, format: 'onnx' });
      expect(verification.relativeError).toBeLessThan(1e-5);
      const again = fresh();
      const other = await prune(out, [], again, { format: 'onnx' });
      expect(other.verification.relativeError).toBeLessThan(1e-5);
      expect(hashes(source)).toEqual(before);
    },
  );

  it('keeps its patches when other sublayers are removed, and drops the patch of a removed one', async () => {
    const source = await random();
    const [one, two, three] = [fresh(), fresh(), fresh()];
    const patches = new Map([['block.1.attention', await somePatch(16)]]);
    await prune(source, [], one, { patches });
    await prune(one, ['block.0.attention', 'block.0.feedforward'], two);
    const { summary } = await openModel(two);
    expect(Object.keys(summary.patches ?? {})).toEqual(['block.0.attention']);
    const removedIds = ['block.0.attention', 'block.0.feedforward'];
    expect(
      relativeError(await computeLogits(two, rows), await computeLogits(one, rows, removedIds)),
    ).toBeLessThan(1e-6);
    await prune(one, ['block.1.attention'], three);
    expect((await openModel(three)).summary.patches).toBeUndefined();
    const without = await computeLogits(source, rows, ['block.1.attention']);
    expect(relativeError(await computeLogits(three, rows), without)).toBeLessThan(1e-6);
  });

  it('is refused for unsupported sublayers', async () => {
    const patch = await somePatch(16);
    const at = async (path: string, id: string, more = {}) =>
      prune(path, [], fresh(), { patches: new Map([[id, patch]]), ...more });
    const source = await random();
    await expect(at(source, 'block.9.attention')).rejects.toFailWith({
      ...{ code: 'sublayer-unknown', file: source, field: 'block.9.attention' },
    });
    await expect(at(source, 'block.0.attention', { layout: 'zeroed' })).rejects.toFailWith({
      ...{ code: 'patches-not-expressible', file: source, field: 'safetensors zeroed' },
    });
  });

  it('is not opened if the graph in config.json is damaged', async () => {
    const out = fresh();
    const patches = new Map([['block.1.attention', await somePatch(16)]]);
    await prune(await random(), [], out, { patches });
    const file = join(out, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as {
      espalier: { patches: Record<string, { nodes: number[] }> };
    };
    const spec = config.espalier.patches['block.1.attention'];
    spec?.nodes.pop();
    writeFileSync(file, JSON.stringify(config));
    await expect(openModel(out)).rejects.toFailWith({
      ...{ code: 'field-invalid', file, field: 'espalier.patches.block.1.attention' },
    });
  });
});

describe('patching a sublayer', () => {
  let given: Asked;
  let result: PatchResult;
  beforeAll(async () => {
    given = request(await random(), several);
    result = await patchAt(given, unattended);
  });

  it('compares all kinds, reduces the error and writes the reported patch', async () => {
    expect(result.standings.map(({ kind }) => kind)).toEqual([...patchKinds]);
    const of = Object.fromEntries(result.standings.map((one) => [one.kind, one]));
    expect(of['graph']?.error).toBeLessThan(1);
    expect(of['skip']).toMatchObject({ error: 1, parameters: 0, tries: 0 });
    expect(of['random-graph']?.tries).toBe(of['graph']?.tries);
    expect(result.sequences).toEqual({ train: 6, validation: 2, test: 2 });
    const others = result.standings.filter(({ kind }) => kind !== 'graph');
    expect(result.accepted).toBe(
      others.every(({ loss }) => (of['graph']?.loss ?? Number.NaN) < loss),
    );
    const { patches } = (await openModel(result.written?.path ?? '')).summary;
    expect(patches?.['block.1.feedforward']?.program).toBe(result.program);
    expect(existsSync(workFolder(given.out, 'patch'))).toBe(false);
  });

  it('writes nothing if something simpler is as good', async () => {
    // Without training, the last layer alone is fitted: the whole linear map has more to fit with.
    const given = request(await random(), {
      anyway: false,
      fitting: { epochs: 1, batch: 32, rate: 1e-9 },
    });
    const { accepted, written } = await patchAt(given, unattended);
    expect(accepted).toBe(false);
    expect(written).toBeNull();
    expect(existsSync(given.out)).toBe(false);
    expect(existsSync(workFolder(given.out, 'patch'))).toBe(false);
  });

  it('resumes to the same model', async () => {
    const again = request(await random(), several);
    const after = 4 * again.fitting.epochs;
    const stopping: RecordedContext = new RecordedContext(({ stage, done }) => {
      stopping.cancellation.isCancellationRequested ||=
        stage.startsWith('Fitting') && done === after;
    });
    await expect(patchAt(again, stopping)).rejects.toThrow(CancelledError);
    expect(existsSync(again.out)).toBe(false);
    const journal = readFileSync(join(workFolder(again.out, 'patch'), 'journal.jsonl'), 'utf8');
    expect(journal.trim().split('\n')).toHaveLength(5);
    const resumed = await patchAt(again, unattended);
    expect(resumed.standings).toEqual(result.standings);
    const [a, b] = [result, resumed].map(({ written }) => hashes(written?.path ?? ''));
    expect(b?.['model.safetensors']).toBe(a?.['model.safetensors']);
  });

  it('writes a plan that leads to the same model', async () => {
    const source = await random();
    const plan = join(root, 'one.plan.json');
    const result = await patchAt(request(source, { plan }), unattended);
    expect(result.plan).toBe(plan);
    const parsed = parsePlan(readFileSync(plan, 'utf8'), plan);
    expect(parsed.patch).toEqual([
      {
        sublayer: 'block.1.feedforward',
        program: result.program,
        file: 'one.block.1.feedforward.patch.safetensors',
      },
    ]);
    const application = {
      model: await openModelFiles(source),
      plan: parsed,
      planFolder: dirname(plan),
      out: fresh(),
      overwrite: false,
      device: 'cpu',
      memoryBytes: 1 << 28,
    } as const;
    const applied = await applyPlan(application, unattended);
    const [a, b] = [result.written?.path ?? '', applied.path].map(hashes);
    expect(b?.['model.safetensors']).toBe(a?.['model.safetensors']);
    expect(b?.['config.json']).toBe(a?.['config.json']);

    const withPatch = async (change: object) => {
      const [patch] = parsed.patch ?? [];
      const changed = { ...parsed, patch: [{ ...patch, ...change }] } as typeof parsed;
      return applyPlan({ ...application, out: fresh(), plan: changed }, unattended);
    };
    await expect(withPatch({ program: '(push identity)' })).rejects.toFailWith({
      code: 'program-without-graph',
      field: 'patch.0.program',
    });
    await expect(withPatch({ sublayer: 'block.2.feedforward' })).rejects.toFailWith({
      code: 'tensor-missing',
      file: 'one.block.1.feedforward.patch.safetensors',
      field: 'block.2.feedforward.down.weight',
    });
    const twice = { ...parsed, patch: [...(parsed.patch ?? []), ...(parsed.patch ?? [])] };
    expect(() => parsePlan(JSON.stringify(twice), plan)).toFailWith({
      code: 'field-invalid',
      file: 'one.plan.json',
      field: 'patch',
    });
  });

  it('adds a patch to an existing plan, and keeps everything else', async () => {
    const source = await random();
    const plan = join(root, 'more.plan.json');
    const read = () => parsePlan(readFileSync(plan, 'utf8'), plan);
    const mine = {
      ...{ format: 'espalier.plan', version: 1, model: { path: source } },
      ...{ remove: ['block.0.attention'], protect: ['block.1.attention'], note: 'by hand' },
    };
    writeFileSync(plan, JSON.stringify(mine));
    await patchAt(request(source, { plan }), unattended);
    await patchAt(request(source, { plan, sublayer: 'block.0.attention' }), unattended);
    // The same once more takes the place of the first.
    await patchAt(request(source, { plan, seed: 1 }), unattended);
    const { patch = [], ...rest } = read();
    expect(rest).toEqual({ ...mine, remove: ['block.0.attention', 'block.1.feedforward'] });
    expect(patch.map(({ sublayer }) => sublayer)).toEqual([
      'block.0.attention',
      'block.1.feedforward',
    ]);
    const application = {
      model: await openModelFiles(source),
      plan: read(),
      planFolder: root,
      out: fresh(),
    };
    const { patched } = await applyPlan(
      { ...application, overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
      unattended,
    );
    expect(patched).toHaveLength(2);

    writeFileSync(plan, JSON.stringify({ ...mine, model: { path: source, fingerprint: '0' } }));
    const given = request(source, { plan });
    await expect(patchAt(given, unattended)).rejects.toFailWith({
      ...{ code: 'plan-mismatch', file: plan, field: 'model.fingerprint' },
    });
    expect(existsSync(given.out)).toBe(false);
  });

  it('is refused before any work if the result could not be written', async () => {
    const source = await random();
    const absent = request(source, { sublayer: 'block.7.attention' });
    await expect(patchAt(absent, unattended)).rejects.toFailWith({
      ...{ code: 'sublayer-unknown', file: source, field: 'block.7.attention' },
    });
    const gguf = request(source, { format: 'gguf' });
    await expect(patchAt(gguf, unattended)).rejects.toFailWith({
      ...{ code: 'keeps-own-packing', file: source, field: 'gguf deci' },
    });
    const few = request(source, { text: { file: 'random', sequences: 2, length: 8 } });
    await expect(patchAt(few, unattended)).rejects.toFailWith({
      code: 'sequences-too-few',
      field: 'sequences',
    });
  });
});

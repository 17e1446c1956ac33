import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { patchModel } from '../../../extension/core/pipelines/patching/patch-model';
import { parsePlan } from '../../../extension/core/plans/plan-schema';
import { unattended } from '../../../extension/core/jobs/job';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import type { SymbolicPatch } from '../../../extension/core/models/patch/symbolic-patch';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn, floatTensor } from '../../../extension/core/runtime/tensors';
import { patchLibrary } from '../../../extension/core/symbolic/patch/compete';
import {
  encoderFixture,
  encoderGolden,
  encoderOutput,
  stockNames,
  textTowers,
} from '../encoder-fixtures';
import { caseNames, fixture, relativeError } from '../fixtures';
import { sessionLogits, onnxCases, onnxFixture, readOnnxGolden } from '../onnx-fixtures';
import { sampled, sublayerFeatures } from '../sample';
import { patchMaker } from '../some-patch';
import { temporaryFolder } from '../temporary-folder';
import { openSession } from '../whole-session';
import { hashes, computeLogits, prune } from '../export/pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);
const somePatch = patchMaker(root);
const rows = [[1, 5, 9, 2, 30, 7, 7, 12]];

/** Patches of sublayers; `up` times the numbers of their last layers. */
async function patchesAt(
  model: LayeredModel,
  ids: readonly string[],
  up = 0.5,
): Promise<Map<string, SymbolicPatch>> {
  const patches = new Map<string, SymbolicPatch>();
  for (const id of ids) {
    const index = model.summary.sublayers.findIndex((one) => one.id === id);
    // The streams of the tiny graphs whose shapes are not told are as wide.
    const { patchWidth = 16 } = model.sublayer(index);
    patches.set(id, await somePatch(patchWidth, up));
  }
  return patches;
}

/** The first sublayer and the last. */
const pickEnds = ({ summary: { sublayers } }: LayeredModel): string[] =>
  [sublayers[0], sublayers.at(-1)].flatMap((one) => (one === undefined ? [] : [one.id]));

/** Residual stream after block 0 without some sublayers. */
async function behindBlock(path: string, removed: readonly string[]): Promise<Float32Array> {
  const model = await openModel(path);
  const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
  try {
    let state = await executor.embed(Int32Array.from(rows[0] ?? []));
    const units = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
    for (const index of [0, 1]) {
      [state = state] = await executor.pass(index, [state], units);
    }
    const { after } = model.sublayer(1).streamNames;
    return Float32Array.from(floatsIn(state.values[after] ?? floatTensor(new Float32Array(), [0])));
  } finally {
    await executor.dispose();
  }
}

/** Families whose feed-forward is no module of its own in transformers. */
const isScattered = (name: string): boolean => name === 'opt';

/** One case of each family, and those that differ in where branches or experts stand. */
const families = await sampled(
  caseNames.filter(
    (name) => !/^llama-(?!gqa-untied)|old-config|^(?:phi3|qwen2|mistral|gpt2)-|qk-norm$/.test(name),
  ),
  (name) => sublayerFeatures(fixture(name)),
);

describe('patches in decoders of every family', () => {
  it.each(families)('%s', async (name) => {
    const source = await openModelFiles(fixture(name));
    const { model } = source;
    const ids = pickEnds(model);
    const adds = await patchesAt(model, ids);
    const added = await prune(source, [], fresh(), { patches: adds, format: 'onnx' });
    expect(added.verification.relativeError).toBeLessThan(1e-5);
    const folder = prune(source, [], fresh(), { patches: adds });
    if (isScattered(name)) {
      await expect(folder).rejects.toMatchObject({ code: 'nothing-patchable' });
      return;
    }
    const { path, patched, parametersAfter } = await folder;
    expect(patched).toEqual(ids);
    const written = await openModel(path);
    const { summary } = written;
    expect(summary.parameters).toBe(parametersAfter);
    expect(summary.sublayers.filter(({ kind }) => kind === 'patch').map(({ id }) => id)).toEqual(
      ids,
    );
    const skipping = model.withPatches(await patchesAt(model, ids, 0));
    const without = await computeLogits(model, rows, ids);
    expect(relativeError(await computeLogits(skipping, rows), without)).toBeLessThan(1e-6);
    expect(relativeError(await computeLogits(written, rows), without)).toBeGreaterThan(1e-4);
  });

  it('reads the input of the block for parallel branches', async () => {
    const source = fixture('cohere');
    const model = await openModel(source);
    const patches = await patchesAt(model, ['block.0.feedforward']);
    const out = fresh();
    await prune(source, [], out, { patches });
    // The patch's contribution doesn't depend on whether attention is present.
    const attention = ['block.0.attention'];
    const [whole, alone, neither, plain] = [
      await behindBlock(out, []),
      await behindBlock(out, attention),
      await behindBlock(source, [...attention, 'block.0.feedforward']),
      await behindBlock(source, ['block.0.feedforward']),
    ];
    const added = whole.map((x, i) => x - (plain[i] ?? 0));
    const alsoAdded = alone.map((x, i) => x - (neither[i] ?? 0));
    expect(relativeError(added, alsoAdded)).toBeLessThan(1e-4);
    expect(Math.max(...added.map(Math.abs))).toBeGreaterThan(1e-3);
  });
});

/** Encoders whose attention passes on a bias by distance together with the states. */
const handsOn = (name: string): boolean => /^wavlm-|t5-encoder$/.test(name);

const others = await sampled(
  stockNames.filter((name) => !handsOn(name) && !textTowers.includes(name)),
  (name) => sublayerFeatures(encoderFixture(name)),
);

describe('patches in encoders', () => {
  it.each(stockNames.filter(handsOn))('%s are written as ONNX alone', async (name) => {
    const source = await openModelFiles(encoderFixture(name));
    const { model } = source;
    const patches = await patchesAt(model, pickEnds(model));
    await expect(prune(source, [], fresh(), { patches })).rejects.toFailWith({
      ...{ code: 'nothing-patchable', file: name, field: 'safetensors auto-map' },
      remedy: /Write ONNX/,
    });
    const onnx = await prune(source, [], fresh(), { patches, format: 'onnx' });
    expect(onnx.verification.relativeError).toBeLessThan(1e-5);
  });

  it.each(others)('%s', async (name) => {
    const source = await openModelFiles(encoderFixture(name));
    const { model } = source;
    const ids = pickEnds(model);
    const { examples } = encoderGolden(name);
    const without = await encoderOutput(model, examples, ids);
    const added = fresh();
    const skipping = model.withPatches(await patchesAt(model, ids, 0));
    expect(relativeError(await encoderOutput(skipping, examples), without)).toBeLessThan(1e-6);
    const patches = await patchesAt(model, ids);
    const { parametersAfter } = await prune(source, [], added, { patches });
    const written = await openModel(added);
    const { summary } = written;
    expect(summary.parameters).toBe(parametersAfter);
    expect(Object.keys(summary.patches ?? {})).toEqual(ids);
    const expected = await encoderOutput(written, examples);
    expect(relativeError(expected, without)).toBeGreaterThan(1e-4);
    const onnx = await prune(source, [], fresh(), { patches, format: 'onnx' });
    expect(onnx.verification.relativeError).toBeLessThan(1e-5);
  });
});

/** Graphs whose stream is maps of images or whole numbers, or whose layers lie inside of an If. */
const refused = /^(?:resnet-.*|mobilenet-.*|.*-merged)$/;
const removable = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

const patchable = await sampled(
  removable.filter((name) => !refused.test(name)),
  (name) => sublayerFeatures(onnxFixture(name)),
);

/** torch's exporters write the same layers: patches that add something are tried in the graph of one of them. */
const familyName = (name: string): string => name.replace(/-(?:dynamo|legacy|past)$/, '');
const addedTo = new Set(
  new Map(patchable.toReversed().map((one) => [familyName(one), one])).values(),
);

describe('patches in ONNX graphs', () => {
  it.each(patchable)('replace sublayers: %s', async (name) => {
    const source = await openModelFiles(onnxFixture(name));
    const { model } = source;
    const { removed, feeds, tolerance } = readOnnxGolden(name);
    const known = new Set(model.summary.sublayers.map(({ id }) => id));
    const ids = (removed?.ids ?? []).filter((id) => known.has(id));
    const experts = (removed?.ids ?? []).filter((id) => !known.has(id));
    const out = fresh();
    const skips = { patches: await patchesAt(model, ids, 0), format: 'onnx' } as const;
    await prune(source, experts, out, skips);
    const session = await openSession(join(out, 'model.onnx'));
    const logits = await sessionLogits(session, feeds);
    await session.release();
    // As if they were removed in torch, while the last layers are zero.
    expect(relativeError(logits, removed?.logits ?? logits)).toBeLessThan(tolerance);

    if (!addedTo.has(name)) {
      return;
    }
    const patches = await patchesAt(model, ids);
    const written = await prune(source, [], fresh(), { patches, format: 'onnx' });
    expect(written.verification.relativeError).toBeLessThan(tolerance);
    expect(written.patched).toEqual(ids);
    const { summary } = await openModel(written.path);
    expect(summary.sublayers).toHaveLength(model.summary.sublayers.length);
    expect(summary.parameters).toBe(written.parametersAfter);
  });

  it.each(removable.filter((name) => refused.test(name)))(
    'are refused with a remedy: %s',
    async (name) => {
      const source = await openModelFiles(onnxFixture(name));
      const { model } = source;
      const [first = ''] = pickEnds(model);
      const patches = await patchesAt(model, [first]);
      await expect(prune(source, [], fresh(), { patches, format: 'onnx' })).rejects.toFailWith({
        code: name.includes('merged')
          ? 'layers-inside-if'
          : name === 'resnet-qoperator'
            ? 'stream-not-float'
            : 'stream-of-images',
        file: onnxFixture(name),
        field: first,
      });
    },
  );
});

describe('patching', () => {
  const half = onnxFixture('llama-half-legacy');
  it.each([
    ['a mixture', fixture('mixtral'), 'block.1.expert', 'kl'],
    ['a parallel branch', fixture('cohere'), 'block.0.feedforward', 'kl'],
    ['an encoder', encoderFixture('bert-classes'), 'block.0.attention', 'kl'],
    [
      'an encoder of images whose output is values',
      encoderFixture('vit-plain'),
      'block.0.feedforward',
      'norm',
    ],
    ['a graph', onnxFixture('gpt2-past'), 'block.0.attention', 'kl'],
    ['a graph in half precision', half, 'block.0.feedforward', 'kl'],
  ])('%s fits, writes, plans and applies the plan', async (_, path, sublayer, loss) => {
    const source = await openModelFiles(path);
    const plan = `${fresh()}.plan.json`;
    const result = await patchModel(
      {
        ...{
          model: source,
          sublayer,
          bundledText: '',
          seed: 3,
          out: fresh(),
          plan,
        },
        text: { file: 'random', sequences: 10, length: 8 },
        library: patchLibrary(),
        limits: { graphs: 1, programs: 200 },
        fitting: { epochs: 2, batch: 32, rate: 1e-3 },
        ...{ anyway: true, overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
      },
      unattended,
    );
    expect(result.loss).toBe(loss);
    const [graph, skip] = result.standings;
    expect(graph?.error).toBeLessThanOrEqual(skip?.error ?? 0);
    for (const standing of result.standings) {
      expect(standing.loss).toBeGreaterThan(0);
    }
    const applied = await applyPlan(
      {
        ...{
          model: source,
          planFolder: dirname(plan),
          out: fresh(),
          overwrite: false,
        },
        plan: parsePlan(readFileSync(plan, 'utf8'), plan),
        ...{ device: 'cpu', memoryBytes: 1 << 28 },
      },
      unattended,
    );
    const [a, b] = [result.written?.path ?? '', applied.path].map(hashes);
    expect(b).toMatchObject(withoutManifest(a ?? {}));
  });
});

/** The manifest records the modification times of its files. */
function withoutManifest(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).filter(([name]) => name !== 'espalier.json'));
}

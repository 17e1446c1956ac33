import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { openOnnx } from '../../../extension/core/checkpoints/onnx-file';
import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { removeFromGraph } from '../../../extension/core/export/onnx/onnx-surgery';
import { buildOnnxGraph, writeOnnx } from '../../../extension/core/export/onnx/onnx-writer';
import { layOutChanges } from '../../../extension/core/export/changes';
import type { OnnxSource } from '../../../extension/core/export/onnx/onnx-writer';
import { unattended } from '../../../extension/core/jobs/job';
import { mapTensors } from '../../../extension/core/models/encodings/encoding-facts';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import { OnnxLayeredModel } from '../../../extension/core/models/onnx/onnx-layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { ModelProtoSchema } from '../../../extension/core/onnx/proto/onnx_pb';
import { CausalOnnxModel } from '../../../extension/core/runtime/causal-onnx-model';
import { runWholeGraph } from '../../../extension/core/runtime/whole-graph';
import { fixture, readJson, relativeError } from '../fixtures';
import {
  denseForm,
  floatForms,
  listLayers,
  computeOutputs,
  quantizedForms,
  withEncodings,
} from '../models/encodings/layered';
import { contracted } from '../models/encodings/made-forms';
import { graphExample, onnxFixture } from '../onnx-fixtures';
import { modelFeatures, paired, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
let count = 0;

function freshFolder(): string {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  return folder;
}

type Forms = (layers: readonly LinearLayer[]) => Map<string, MatrixEncoding<TensorData>>;

const kinds: readonly (readonly [name: string, forms: Forms, tolerance: number])[] = [
  ['factors and cores', floatForms, 1e-5],
  // Inputs of matmuls are rounded to eight bits, and norms after them amplify the difference.
  ['few bits', quantizedForms, 0.06],
  ['few bits in standard operators', (layers) => quantizedForms(layers, true), 0.06],
];

/** Model with these encodings, and with the equivalent dense weights. */
async function formed(
  path: string,
  makeForms: Forms,
): Promise<{ model: LayeredModel; plain: LayeredModel }> {
  const source = await openModel(path);
  const layers = listLayers(source);
  const forms = makeForms(layers);
  const dense = layers.flatMap((layer): [string, MatrixEncoding<TensorData>][] => {
    const form = forms.get(layer.id);
    return form === undefined ? [] : [[layer.id, denseForm(contracted(form), layer)]];
  });
  const file = (): string => join(freshFolder(), 'forms.safetensors');
  return {
    model: await withEncodings(source, file(), forms),
    plain: await withEncodings(source, file(), new Map(dense)),
  };
}

async function write(graph: OnnxSource): Promise<string> {
  const folder = freshFolder();
  const copier = new ByteCopier(0, unattended);
  await writeOnnx(folder, graph, {}, copier);
  await copier.close();
  return join(folder, 'model.onnx');
}

async function writeEmitted(model: LayeredModel, removed: readonly string[] = []): Promise<string> {
  if (model.emitter === undefined) {
    throw new Error("the model doesn't emit itself");
  }
  const graph = buildOnnxGraph(model, model.emitter, layOutChanges(model.summary, removed));
  return write(graph);
}

const positions = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
const ones = (length: number): number[] => Array.from({ length }, () => 1);

const families = [
  'llama-gqa-untied',
  'phi3',
  'gemma2',
  'gpt2',
  'gpt-neox',
  'falcon-new',
  'mixtral',
];

describe('a model with other encodings, written as ONNX', () => {
  it.each(
    paired(families, kinds).map(([name, [kind, forms, tolerance]]) => ({
      ...{ name, kind, forms, tolerance },
    })),
  )('has the logits of $name with $kind, also from its cache', async ({ name, ...one }) => {
    const { forms, tolerance } = one;
    const { model, plain } = await formed(fixture(name), forms);
    const { inputIds } = readJson<{ inputIds: number[][] }>(name, 'golden.json');
    const [ids = []] = inputIds;
    const whole = await CausalOnnxModel.open(await writeEmitted(model));
    const run = async (from: number, to: number, cache: Parameters<typeof whole.run>[1]) =>
      whole.run(
        {
          inputIds: [ids.slice(from, to)],
          attentionMask: [ones(to)],
          positionIds: [positions(from, to)],
        },
        cache,
      );
    const expected = await computeOutputs(plain, [Int32Array.from(ids)]);
    const all = await run(0, ids.length, whole.emptyCache(1));
    expect(relativeError(all.logits, expected)).toBeLessThan(tolerance);
    const first = await run(0, ids.length - 1, whole.emptyCache(1));
    const last = await run(ids.length - 1, ids.length, first.cache);
    await whole.dispose();
    const row = expected.slice(-expected.length / ids.length);
    expect(relativeError(last.logits, row)).toBeLessThan(tolerance);
  });
});

describe('an MoE layer with other encodings', () => {
  it('is written without one of its experts and their encodings', async () => {
    const { model, plain } = await formed(fixture('mixtral'), floatForms);
    const { inputIds } = readJson<{ inputIds: number[][] }>('mixtral', 'golden.json');
    const [ids = []] = inputIds;
    const removed = ['block.1.expert.0'];
    const path = await writeEmitted(model, removed);
    const input = Int32Array.from(ids);
    const expected = await computeOutputs(plain, [input], removed);
    expect(relativeError(await computeOutputs(plain, [input]), expected)).toBeGreaterThan(1e-3);
    const whole = await CausalOnnxModel.open(path);
    const step = {
      inputIds: [ids],
      attentionMask: [ones(ids.length)],
      positionIds: [positions(0, ids.length)],
    };
    const { logits } = await whole.run(step, whole.emptyCache(1));
    await whole.dispose();
    expect(relativeError(logits, expected)).toBeLessThan(1e-5);
    const { initializers } = await openOnnx(path);
    const left = [...initializers.keys()].filter((name) => /layers\.1\..*experts\.\d/.test(name));
    expect(left.length).toBeGreaterThan(0);
    expect(left.filter((name) => name.includes('experts.0.'))).toEqual([]);
  });
});

async function writeGraph(model: LayeredModel): Promise<string> {
  if (!(model instanceof OnnxLayeredModel)) {
    throw new Error('the model is no graph');
  }
  return write(await removeFromGraph(model.source, new Set()));
}

const graphs = [
  'llama-legacy',
  'llama-dynamo',
  'gpt2-merged',
  'bert-fused',
  'vit-legacy',
  'mobilenet-legacy',
];

/** Known facts about the layers' encodings by id, regardless of where their tensors are stored. */
function listEncodings(model: LayeredModel) {
  return Object.fromEntries(
    listLayers(model).map(({ id, out, in: input, role, sublayer, encoding }) => {
      const shapes = encoding && mapTensors(encoding, ({ dtype, shape }) => ({ dtype, shape }));
      return [id, { out, in: input, role, sublayer, form: shapes }];
    }),
  );
}

/** Graphs whose encodings change twice: one for each set of features. */
const changing = await sampled(graphs, async (name) => modelFeatures(onnxFixture(name)));

describe('the forms of a written graph', () => {
  it.each(changing)('of %s can change again', async (name) => {
    const { model } = await formed(onnxFixture(name), quantizedForms);
    const opened = await OnnxLayeredModel.open(await writeGraph(model));
    const layers = listLayers(opened);
    expect(layers.every(({ encoding }) => encoding !== undefined)).toBe(true);
    const forms = floatForms(listLayers(await openModel(onnxFixture(name))));
    const again = await withEncodings(opened, join(freshFolder(), 'again.safetensors'), forms);
    const { model: expected } = await formed(onnxFixture(name), floatForms);
    const example = graphExample(name);
    const wanted = await computeOutputs(expected, [example]);
    expect(relativeError(await computeOutputs(again, [example]), wanted)).toBeLessThan(1e-6);
    const path = await writeGraph(again);
    const last = await OnnxLayeredModel.open(path);
    expect(listEncodings(last)).toEqual(listEncodings(expected));
    expect([...last.source.file.initializers.keys()].some((key) => key.includes('quants'))).toBe(
      false,
    );
  });

  it('are ordinary nodes even if a tool renamed some', async () => {
    const { model } = await formed(onnxFixture('vit-legacy'), floatForms);
    const path = await writeGraph(model);
    const bytes = readFileSync(path);
    const stored = fromBinary(ModelProtoSchema, bytes);
    const [first] = listLayers(model);
    const node = stored.graph?.node.find(({ name }) => name.startsWith(`/${first?.id}/form.0/`));
    expect(node).toBeDefined();
    if (node !== undefined) {
      node.name = 'renamed';
    }
    writeFileSync(path, toBinary(ModelProtoSchema, stored));
    const layers = listLayers(await OnnxLayeredModel.open(path));
    const formedIds = layers.flatMap(({ id, encoding }) => (encoding === undefined ? [] : [id]));
    expect(formedIds).toEqual(
      listLayers(model)
        .map(({ id }) => id)
        .filter((id) => id !== first?.id),
    );
  });
});

describe('an ONNX graph with other encodings', () => {
  it.each(
    paired(graphs, kinds.slice(0, 2)).map(([name, [kind, forms, tolerance]]) => ({
      ...{ name, kind, forms, tolerance },
    })),
  )('$name with $kind is written without its matrices', async ({ name, forms, tolerance }) => {
    const source = await OnnxLayeredModel.open(onnxFixture(name));
    const { model, plain } = await formed(onnxFixture(name), forms);
    const example = graphExample(name);
    const path = await writeGraph(model);
    const opened = await OnnxLayeredModel.open(path);
    const ids = ({ summary }: LayeredModel): string[] => summary.sublayers.map(({ id }) => id);
    expect(ids(opened)).toEqual(ids(source));
    for (const { id } of listLayers(source)) {
      expect(opened.source.file.initializers.has(id)).toBe(false);
    }
    const expected = await computeOutputs(plain, [example]);
    expect(relativeError(await computeOutputs(opened, [example]), expected)).toBeLessThan(
      tolerance,
    );
    const whole = await runWholeGraph(path, opened, example);
    expect(relativeError(whole, expected)).toBeLessThan(tolerance);
    expect(listEncodings(opened)).toEqual(listEncodings(model));
    const written = statSync(join(dirname(path), 'model.onnx_data')).size;
    expect(model.summary.bytes).toBeLessThan(source.summary.bytes);
    expect(written).toBeLessThan(source.summary.bytes);
  });
});

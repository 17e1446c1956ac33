import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import type { ModelInput } from '../../../../extension/core/models/model-input';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import type {
  MatrixEncoding,
  EmbeddingOrHead,
} from '../../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../../extension/core/models/open-model';
import { encoderFixture, encoderGolden } from '../../encoder-fixtures';
import { fixture, readJson, relativeError } from '../../fixtures';
import { graphExample, onnxFixture } from '../../onnx-fixtures';
import { runsAllCases } from '../../sample';
import { temporaryFolder } from '../../temporary-folder';
import { denseValues, formMakers, formsOutside } from '../../export/all-forms';
import type { FormName, EmbeddingAndHeadForms } from '../../export/all-forms';
import { rejection } from '../../export/pruning';
import { computeOutputs, withEncodings } from './layered';
import { FormMaker } from './made-forms';

const folder = temporaryFolder();
let count = 0;
const scratch = (): string => join(folder, `${count++}.safetensors`);

interface Case {
  readonly name: string;
  readonly path: string;
  readonly input: () => ModelInput;
  /** Places of its matrices, and whether embedding and head are one. */
  readonly places: readonly string[];
  readonly tied: boolean;
  readonly tolerance?: number;
  readonly forms?: readonly FormName[];
}

const defaultForms: readonly FormName[] = ['int4, asymmetric', 'int4, portable', 'int8'];

const decoder = (name: string, tied: boolean): Case => ({
  name,
  path: fixture(name),
  input: () => {
    const [ids = []] = readJson<{ inputIds: number[][] }>(name, 'golden.json').inputIds;
    return Int32Array.from(ids);
  },
  places: ['embedding', 'head'],
  tied,
});
const encoder = (name: string, places: readonly string[], tied = false): Case => ({
  name,
  path: encoderFixture(name),
  input: () => encoderGolden(name).examples[0] ?? {},
  places,
  tied,
});
const graph = (name: string, places: readonly string[], tied = false, tolerance = 1e-5): Case => ({
  name,
  path: onnxFixture(name),
  input: () => graphExample(name),
  places,
  tied,
  tolerance,
  // Older opsets have no blocks in standard operators.
  forms: ['int4, asymmetric', 'int8 in blocks', 'int8'],
});

const cases: readonly Case[] = [
  decoder('llama-gqa-untied', false),
  decoder('llama-tied-f16', true),
  decoder('gemma', true),
  decoder('gpt2', true),
  decoder('opt', true),
  decoder('gpt-neox', false),
  encoder('bert-masked', ['embedding', 'head', 'head'], true),
  encoder('roberta-classes', ['embedding', 'head', 'head']),
  encoder('bert-plain', ['embedding']),
  encoder('vit-classes', ['head']),
  graph('llama-legacy', ['embedding', 'head']),
  graph('llama-half-dynamo', ['embedding', 'head'], false, 5e-3),
  graph('gpt2-merged', ['embedding', 'head']),
];
const named = cases.map((one) => [one.name, one] as const);
/** Each with its encodings: in turn, as they do not depend on the model. */
const encoded = cases.flatMap((one, i) => {
  const { forms = defaultForms } = one;
  return forms.flatMap((form, k) =>
    runsAllCases || k === i % forms.length ? [[one.name, form, one] as const] : [],
  );
});

const getEmbeddingAndHead = (model: LayeredModel): readonly EmbeddingOrHead[] =>
  model.embeddingAndHeadMatrices;

async function changed(
  model: LayeredModel,
  forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
): Promise<LayeredModel> {
  return withEncodings(model, scratch(), forms);
}

describe('the matrices outside the sublayers', () => {
  it.each(named)('of %s are found', async (_, { path, places, tied }) => {
    const matrices = getEmbeddingAndHead(await openModel(path));
    expect(matrices.map(({ place }) => place)).toEqual(places);
    expect(new Set(matrices.map(({ id }) => id)).size).toBe(matrices.length);
    const ties = matrices.filter(({ tiedTo }) => tiedTo !== undefined);
    expect(ties).toHaveLength(tied ? 2 : 0);
    expect(ties.map(({ tiedTo }) => tiedTo)).toEqual(ties.map(({ id }) => id).reverse());
  });

  it.each(encoded)('of %s as %s equal the dense matrices', async (_, name, one) => {
    const { path, input, places, tolerance = 1e-5 } = one;
    const model = await openModel(path);
    const original = await computeOutputs(model, [input()]);
    const embeddingAndHead: EmbeddingAndHeadForms = { embedding: name, head: name };
    const forms = formsOutside(getEmbeddingAndHead(model), embeddingAndHead);
    const dense = await changed(model, denseValues(forms, getEmbeddingAndHead(model)));
    const expected = await computeOutputs(dense, [input()]);
    expect(relativeError(original, expected)).toBeGreaterThan(1e-2);
    const formed = await changed(model, forms);
    expect(formed.summary.sublayers.map(({ id }) => id)).toEqual(
      model.summary.sublayers.map(({ id }) => id),
    );
    // Heads round what goes in to 8 bits.
    expect(relativeError(await computeOutputs(formed, [input()]), expected)).toBeLessThan(5e-2);
    if (places.includes('embedding')) {
      const tables = new Map(
        getEmbeddingAndHead(model).flatMap(({ id, place }) => {
          const form = place === 'embedding' ? forms.get(id) : undefined;
          return form === undefined ? [] : [[id, form] as const];
        }),
      );
      const plain = await changed(model, denseValues(tables, getEmbeddingAndHead(model)));
      const rows = await computeOutputs(await changed(model, tables), [input()]);
      expect(relativeError(rows, await computeOutputs(plain, [input()]))).toBeLessThan(tolerance);
    }
  });

  it('are counted once if tied, and twice in different encodings', async () => {
    const model = await openModel(fixture('llama-tied-f16'));
    const [embedding] = getEmbeddingAndHead(model);
    const { out = 0, in: width = 0, weight } = embedding ?? {};
    const { parameters, bytes } = model.summary;
    const readSummary = async (embeddingAndHead: EmbeddingAndHeadForms) =>
      (await changed(model, formsOutside(getEmbeddingAndHead(model), embeddingAndHead))).summary;
    const getSize = (form: MatrixEncoding<TensorData>): number =>
      form.kind === 'int8' ? form.quants.bytes.length + form.scales.bytes.length : Number.NaN;
    const int8 = getSize(formMakers.int8(new FormMaker(1), out, width));

    const one = await readSummary({ embedding: 'int8', head: 'int8' });
    expect(one).toMatchObject({ parameters, tiedHead: true });
    expect(one.bytes).toBe(bytes - (weight?.length ?? 0) + int8);
    const two = await readSummary({ head: 'int8' });
    expect(two).toMatchObject({ parameters: parameters + out * width, tiedHead: false });
    expect(two.bytes).toBe(bytes + int8);
    expect(Object.values(two.dtypes).reduce((sum, one_) => sum + one_, 0)).toBe(two.bytes);
  });

  it('reject low rank, because rows are looked up', async () => {
    for (const path of [fixture('llama-gqa-untied'), onnxFixture('llama-legacy')]) {
      const model = await openModel(path);
      const [table] = getEmbeddingAndHead(model);
      const { id = '', out = 0, in: width = 0 } = table ?? {};
      const forms = new Map([[id, new FormMaker(1).lowRank(out, width, 2)]]);
      const { message } = await rejection(changed(model, forms));
      expect(message).toMatch(/cannot be stored as low-rank.*int8 or int4/);
    }
  });
});

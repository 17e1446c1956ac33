import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import type { LinearLayer } from '../../../../extension/core/models/matrix-encoding';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { ModelProtoSchema } from '../../../../extension/core/onnx/proto/onnx_pb';
import { denseValues, formNames, formsInTurn } from '../../export/all-forms';
import type { FormName } from '../../export/all-forms';
import { prune } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { graphExample, sessionLogits, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';
import { paired } from '../../sample';
import { temporaryFolder } from '../../temporary-folder';
import { listLayers, computeOutputs } from './layered';

const folder = temporaryFolder();
let count = 0;
const fresh = (extension = ''): string => join(folder, `${count++}${extension}`);

/** Of both graphs. */
const headSize = 16;

/** The graph, or a copy of it whose values are not declared. */
function filePath(name: string, isDeclared: boolean): string {
  const path = onnxFixture(name);
  if (isDeclared) {
    return path;
  }
  const copy = fresh();
  mkdirSync(copy);
  copyFileSync(`${path}.data`, join(copy, 'model.onnx.data'));
  const model = fromBinary(ModelProtoSchema, readFileSync(path));
  model.graph?.valueInfo.splice(0);
  const file = join(copy, 'model.onnx');
  writeFileSync(file, toBinary(ModelProtoSchema, model));
  return file;
}

const isPacked = ({ id }: LinearLayer): boolean => id.includes('qkv_proj');

/** The widths of heads of the caches that a model takes. */
function cacheWidths({ inputs }: Pick<LayeredModel, 'inputs'>): unknown[] {
  const caches = inputs.filter((port) => port.name.startsWith('past_key_values.'));
  return [...new Set(caches.map(({ shape }) => shape?.[3]))];
}

/** With layers in these forms in turn, and the graph that is written of it. */
async function written(
  model: OnnxLayeredModel,
  layers: readonly LinearLayer[],
  forms: readonly FormName[],
): Promise<{ formed: OnnxLayeredModel; path: string }> {
  const matrices = await storeEncodings(fresh('.safetensors'), formsInTurn(layers, forms));
  const out = fresh();
  await prune(model.summary.path, [], out, { format: 'onnx', matrices });
  return { formed: model.withMatrices(matrices), path: join(out, 'model.onnx') };
}

const names = ['llama-genai', 'phi-genai'];
/** Graphs and whether their values are declared, with encodings in turn. */
const encoded = paired(
  names.flatMap((name) => [true, false].map((isDeclared) => ({ name, isDeclared }))),
  formNames,
);

describe.each(names)('a graph of onnxruntime-genai, %s', (name) => {
  const computeLogits = async (model: OnnxLayeredModel): Promise<Float32Array> =>
    computeOutputs(model, [graphExample(name)]);
  const fileLogits = async (path: string): Promise<Float32Array> => {
    const session = await InferenceSession.create(path);
    const logits = await sessionLogits(session, readOnnxGolden(name).feeds);
    await session.release();
    return logits;
  };

  describe.each([true, false])('with declared values: %s', (isDeclared) => {
    const forms = encoded.flatMap(([one, form]) =>
      one.name === name && one.isDeclared === isDeclared ? [form] : [],
    );

    it.each(forms)('attends to queries, keys and values made of %s', async (form) => {
      const model = await OnnxLayeredModel.open(filePath(name, isDeclared));
      const layers = listLayers(model).filter(isPacked);
      expect(layers).toHaveLength(2);
      const forms = formsInTurn(layers, [form]);
      const formed = model.withMatrices(await storeEncodings(fresh('.safetensors'), forms));
      const values = denseValues(forms, layers);
      const dense = model.withMatrices(await storeEncodings(fresh('.safetensors'), values));
      const rounds = /int|whole/.test(form);
      expect(relativeError(await computeLogits(formed), await computeLogits(dense))).toBeLessThan(
        rounds ? 5e-2 : 1e-5,
      );
    });

    it('supports caches of the same width with encodings of all kinds, also after writing', async () => {
      const model = await OnnxLayeredModel.open(filePath(name, isDeclared));
      expect(cacheWidths(model)).toEqual([headSize]);
      const { formed, path } = await written(model, listLayers(model), formNames);
      expect(cacheWidths(formed)).toEqual([headSize]);
      expect(cacheWidths(await OnnxLayeredModel.open(path))).toEqual([headSize]);
      expect(relativeError(await fileLogits(path), await computeLogits(formed))).toBeLessThan(1e-2);
    });

    it('is written with one packed projection in few bits', async () => {
      const model = await OnnxLayeredModel.open(filePath(name, isDeclared));
      const layers = listLayers(model).filter(isPacked).slice(0, 1);
      const { formed, path } = await written(model, layers, ['int4']);
      expect(relativeError(await fileLogits(path), await computeLogits(formed))).toBeLessThan(1e-2);
    });
  });

  it('has one position per row of its rotary table', async () => {
    const { summary } = await OnnxLayeredModel.open(onnxFixture(name));
    expect(summary.maxPositions).toBe(16);
  });
});

it.each(['llama-genai', 'phi-genai', 'gptoss-genai'])(
  '%s with matrices of few bits is verified by graphs that round alike',
  async (name) => {
    const model = await OnnxLayeredModel.open(onnxFixture(name));
    const matrices = await storeEncodings(
      fresh('.safetensors'),
      formsInTurn(listLayers(model), ['int8', 'int4']),
    );
    const written = { format: 'onnx', matrices } as const;
    const { verification } = await prune(model.summary.path, [], fresh(), written);
    // A router would choose other experts for the least difference.
    expect(verification.relativeError).toBeLessThan(1e-5);
  },
);

import { join } from 'node:path';
import type { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../../../extension/core/models/example';
import { openModel } from '../../../../extension/core/models/open-model';
import { relativeError } from '../../fixtures';
import { onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { denseForm, denseForms, floatForms, layersOf, outputsOf, runTapped, statesOf, withForms } from './layered';
import { contracted } from './made-forms';

const folder = temporaryFolder();
let count = 0;

function scratch(): string {
  return join(folder, `${count++}.safetensors`);
}

const dtypes: Readonly<Record<string, string>> = { int64: 'I64', bool: 'BOOL' };

function exampleOf(name: string): Example {
  const { feeds, first } = readOnnxGolden(name);
  const all: Record<string, Tensor> = { ...feeds, ...first?.feeds };
  return Object.fromEntries(
    Object.entries(all).map(([input, { type, dims, data }]) => [
      input,
      { dtype: dtypes[type] ?? 'F32', dims, data: data as Float32Array },
    ]),
  );
}

const cases = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

describe('x', () => {
  it.each(cases)('%s', async (name) => {
    const model = await openModel(onnxFixture(name));
    const layers = layersOf(model);
    console.log(name, model.summary.opset, model.summary.sublayers.map((s, i) => `${s.id}: ${layers.filter(l => l.sublayer === i).map(({ role, out, in: input, transposed, id }) => `${role} ${out}x${input} ${transposed} (${id})`).join(' ')}`), model.unusableMatrices);
    const copied = await withForms(model, scratch(), await denseForms(layers));
    const example = exampleOf(name);
    const error = relativeError(await outputsOf(copied, [example]), await outputsOf(model, [example]));
    console.log(name, error);
  });
});

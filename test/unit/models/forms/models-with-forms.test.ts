import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ModelInput } from '../../../../extension/core/models/example';
import { openModel } from '../../../../extension/core/models/open-model';
import { floatsIn } from '../../../../extension/core/runtime/tensors';

import { encoderFixture, encoderGolden, encoderNames } from '../../encoder-fixtures';
import { caseNames, fixture, readJson, relativeError } from '../../fixtures';
import { ggufFixture, ggufGolden, ggufNames } from '../../gguf-fixtures';
import { quantizedFixture, quantizedGolden, runnableCases } from '../../quantized-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import {
  denseForm,
  denseForms,
  floatForms,
  layersOf,
  outputsOf,
  runTapped,
  statesOf,
  withForms,
} from './layered';
import { contracted } from './made-forms';

const folder = temporaryFolder();
let count = 0;

function scratch(): string {
  return join(folder, `${count++}.safetensors`);
}

type Source = readonly [name: string, path: string, inputs: () => readonly ModelInput[]];

function tokens(rows: readonly (readonly number[])[]): ModelInput[] {
  return rows.map((row) => Int32Array.from(row));
}

/** Every fixture that is laid out by the table of its family. */
const sources: readonly Source[] = [
  ...caseNames.map((name): Source => [
    name,
    fixture(name),
    () => tokens(readJson<{ inputIds: number[][] }>(name, 'golden.json').inputIds),
  ]),
  ...encoderNames.map((name): Source => [
    name,
    encoderFixture(name),
    () => encoderGolden(name).examples,
  ]),
  ...ggufNames.map((name): Source => [
    name,
    ggufFixture(`${name}.gguf`),
    () => tokens(ggufGolden(name).inputIds),
  ]),
  ...runnableCases.map((name): Source => [
    name,
    quantizedFixture(name),
    () => tokens(quantizedGolden(name).inputIds),
  ]),
];

describe('a model with other forms of its matrices', () => {
  it.each(sources)('%s gives the same with each matrix copied', async (_, path, inputs) => {
    const model = await openModel(path);
    const layers = layersOf(model);
    expect(layers.length).toBeGreaterThanOrEqual(model.summary.sublayers.length * 2);
    const copied = await withForms(model, scratch(), await denseForms(layers));
    const examples = inputs().slice(0, 1);
    expect(
      relativeError(await outputsOf(copied, examples), await outputsOf(model, examples)),
    ).toBeLessThan(1e-6);
  });

  it.each(sources)(
    '%s equals the one with the products multiplied out',
    async (_, path, inputs) => {
      const model = await openModel(path);
      const layers = layersOf(model);
      const forms = floatForms(layers);
      const formed = await withForms(model, scratch(), forms);
      const plain = new Map(
        layers.map((layer) => [
          layer.id,
          denseForm(contracted(forms.get(layer.id) ?? lost()), layer),
        ]),
      );
      const expected = await withForms(model, scratch(), plain);
      const examples = inputs().slice(0, 1);
      const before = await outputsOf(expected, examples);
      expect(relativeError(await outputsOf(formed, examples), before)).toBeLessThan(1e-5);
      expect(relativeError(await outputsOf(model, examples), before)).toBeGreaterThan(1e-3);
    },
  );

  it.each(sources)('%s tells what goes into its linear layers', async (_, path, inputs) => {
    const model = await openModel(path);
    const [example = lost()] = inputs();
    const states = await statesOf(model, example);
    for (const index of model.summary.sublayers.keys()) {
      const step = model.tapped?.(index) ?? lost();
      const layers = model.linearLayers?.(index) ?? [];
      const { outputs, rows } = await runTapped(step, states[index] ?? lost());
      const { before, after } = model.streamNames(index);
      const next = states[index + 1]?.values[after] ?? lost();
      const given = outputs[step.next[after] ?? ''] ?? lost();
      expect(relativeError(floatsIn(given), floatsIn(next))).toBeLessThan(1e-6);
      expect([...rows.keys()].sort()).toEqual(layers.map(({ id }) => id).sort());
      expect(before).toBe(after);
      const [, sequence = 0] = next.dims;
      for (const { id, in: input, role } of layers) {
        const count = (rows.get(id)?.length ?? 0) / input;
        expect(Number.isInteger(count)).toBe(true);
        if (model.summary.sublayers[index]?.kind !== 'expert') {
          expect(count, role).toBe(sequence);
        }
      }
    }
  });
});

function lost(): never {
  throw new Error('something is missing');
}

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ModelInput } from '../../../../extension/core/models/model-input';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import { openModel } from '../../../../extension/core/models/open-model';
import { floatsIn } from '../../../../extension/core/runtime/tensors';
import { relativeError } from '../../fixtures';
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

/** A model whose matrices take other forms. */
export interface FormCase {
  readonly name: string;
  readonly path: string;
  readonly input: () => ModelInput;
  /** Largest error, relative to the largest output, that rounding makes. */
  readonly tolerance?: number;
}

/** Tests what holds for every model, whatever its source. */
export function testForms(cases: readonly FormCase[], folder: string): void {
  let count = 0;
  const scratch = (): string => join(folder, `${count++}.safetensors`);
  const named = cases.map((one) => [one.name, one] as const);

  describe('a model with other forms of its matrices', () => {
    it.each(named)('%s gives the same with each matrix copied', async (_, one) => {
      const { path, input, tolerance = 1e-6 } = one;
      const model = await openModel(path);
      const layers = layersOf(model);
      expect(layers.length).toBeGreaterThan(0);
      expect(new Set(layers.map(({ id }) => id)).size).toBe(layers.length);
      const copied = await withForms(model, scratch(), await denseForms(layers));
      expect(idsOf(copied)).toEqual(idsOf(model));
      const [actual, expected] = [
        await outputsOf(copied, [input()]),
        await outputsOf(model, [input()]),
      ];
      expect(relativeError(actual, expected)).toBeLessThan(tolerance);
    });

    it.each(named)('%s equals the one with the products multiplied out', async (_, one) => {
      const { path, input, tolerance = 1e-5 } = one;
      const model = await openModel(path);
      const layers = layersOf(model);
      const forms = floatForms(layers);
      const formed = await withForms(model, scratch(), forms);
      const plain = layers.map((layer) => {
        const form = forms.get(layer.id) ?? missing();
        return [layer.id, denseForm(contracted(form), layer)] as const;
      });
      const multiplied = await withForms(model, scratch(), new Map(plain));
      const expected = await outputsOf(multiplied, [input()]);
      expect(relativeError(await outputsOf(formed, [input()]), expected)).toBeLessThan(tolerance);
      expect(relativeError(await outputsOf(model, [input()]), expected)).toBeGreaterThan(1e-3);
    });

    it.each(named)('%s tells what goes into its linear layers', async (_, one) => {
      const { path, input, tolerance = 1e-6 } = one;
      const model = await openModel(path);
      const states = await statesOf(model, input());
      for (const [index, { kind }] of model.summary.sublayers.entries()) {
        const step = model.tapped(index);
        const before = states[index] ?? missing();
        const { outputs, rows } = await runTapped(step, before);
        for (const [name, source] of Object.entries(step.next)) {
          const actual =
            outputs[source] ?? before.values[source] ?? before.side[source] ?? missing();
          const expected = states[index + 1]?.values[name] ?? missing();
          expect(relativeError(floatsIn(actual), floatsIn(expected))).toBeLessThan(tolerance);
        }
        const layers = model.linearLayers(index);
        expect([...rows.keys()].sort()).toEqual(layers.map(({ id }) => id).sort());
        for (const layer of layers) {
          const numbers = rows.get(layer.id) ?? missing();
          expect(numbers.length % layer.in).toBe(0);
          expect(kind === 'expert' || numbers.length > 0).toBe(true);
        }
      }
    });
  });
}

function idsOf({ summary }: LayeredModel): string[] {
  return summary.sublayers.map(({ id }) => id);
}

function missing(): never {
  throw new Error('something is missing');
}

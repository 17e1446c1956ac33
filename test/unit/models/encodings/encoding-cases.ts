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
  emittedOutputs,
  floatForms,
  listLayers,
  computeOutputs,
  runTapped,
  walked,
  withEncodings,
} from './layered';
import type { Walked } from './layered';
import { contracted } from './made-forms';

/** A model whose matrices take other forms. */
export interface EncodingCase {
  readonly name: string;
  readonly path: string;
  readonly input: () => ModelInput;
  /** Largest error, relative to the largest output, that rounding makes. */
  readonly tolerance?: number;
}

interface Original extends Walked {
  readonly model: LayeredModel;
}

/** The models as they are, each run once for all of its tests. */
class Originals {
  private readonly known = new Map<EncodingCase, Promise<Original>>();

  public async of(one: EncodingCase): Promise<Original> {
    let original = this.known.get(one);
    if (original === undefined) {
      original = this.run(one);
      this.known.set(one, original);
    }
    return original;
  }

  private async run({ path, input }: EncodingCase): Promise<Original> {
    const model = await openModel(path);
    return { model, ...(await walked(model, input())) };
  }
}

/** Tests that apply to every model, from any source. */
export function testEncodings(cases: readonly EncodingCase[], folder: string): void {
  let count = 0;
  const scratch = (): string => join(folder, `${count++}.safetensors`);
  const originals = new Originals();
  const named = cases.map((one) => [one.name, one] as const);

  describe('a model with other forms of its matrices', () => {
    it.each(named)('%s is unchanged by copying each matrix', async (_, one) => {
      const { input, tolerance = 1e-6 } = one;
      const { model, output } = await originals.of(one);
      const layers = listLayers(model);
      expect(layers.length).toBeGreaterThan(0);
      expect(new Set(layers.map(({ id }) => id)).size).toBe(layers.length);
      const copied = await withEncodings(model, scratch(), await denseForms(layers));
      expect(listIds(copied)).toEqual(listIds(model));
      const actual = await computeOutputs(copied, [input()]);
      expect(relativeError(actual, output)).toBeLessThan(tolerance);
    });

    it.each(named)('%s equals the one with the products multiplied out', async (_, one) => {
      const { input, tolerance = 1e-5 } = one;
      const { model, output } = await originals.of(one);
      const layers = listLayers(model);
      const forms = floatForms(layers);
      const formed = await withEncodings(model, scratch(), forms);
      const plain = layers.map((layer) => {
        const form = forms.get(layer.id) ?? missing();
        return [layer.id, denseForm(contracted(form), layer)] as const;
      });
      const multiplied = await withEncodings(model, scratch(), new Map(plain));
      const expected = await emittedOutputs(multiplied, [input()]);
      expect(relativeError(await computeOutputs(formed, [input()]), expected)).toBeLessThan(
        tolerance,
      );
      expect(relativeError(output, expected)).toBeGreaterThan(1e-3);
    });

    it.each(named)('%s returns the inputs of its linear layers', async (_, one) => {
      const { tolerance = 1e-6 } = one;
      const { model, states } = await originals.of(one);
      for (const [index, { kind }] of model.summary.sublayers.entries()) {
        const step = model.sublayer(index).tapped;
        const before = states[index] ?? missing();
        const { outputs, rows } = await runTapped(step, before);
        for (const [name, source] of Object.entries(step.next)) {
          const actual =
            outputs[source] ?? before.values[source] ?? before.side[source] ?? missing();
          const expected = states[index + 1]?.values[name] ?? missing();
          expect(relativeError(floatsIn(actual), floatsIn(expected))).toBeLessThan(tolerance);
        }
        const layers = model.sublayer(index).linearLayers;
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

function listIds({ summary }: LayeredModel): string[] {
  return summary.sublayers.map(({ id }) => id);
}

function missing(): never {
  throw new Error('something is missing');
}

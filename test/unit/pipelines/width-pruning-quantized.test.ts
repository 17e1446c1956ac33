import { describe, expect, it } from 'vitest';
import { elementCount } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { packedUnit } from '../../../extension/core/models/width-pruning/weight-cuts';
import { describeWidthPruned } from '../../../extension/core/models/width-pruning/describe-width-pruned';
import {
  formatRanges,
  parseRanges,
} from '../../../extension/core/models/width-pruning/number-ranges';
import type { PlannedWidthPruning } from '../../../extension/core/models/width-pruning/width';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { readConfig, rejection } from '../export/pruning';
import { weightFloats } from '../models/floats-of-weight';
import { quantizedCases, quantizedFixture } from '../quantized-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { pruneWidthsIn } from './width-pruning';

const pruneWidths = pruneWidthsIn(temporaryFolder());

/** The first removable channels or heads of each sublayer that has some. */
async function firstUnits(name: string): Promise<PlannedWidthPruning[]> {
  const { model }: { model: LayeredModel } = await openModelFiles(quantizedFixture(name));
  return model.summary.sublayers.flatMap(({ id }, index) => {
    const { step } = model.sublayer(index).width ?? {};
    return step === undefined
      ? []
      : [{ sublayer: id, remove: formatRanges([...Array(step).keys()]) }];
  });
}

/** The numbers of a matrix at some places along an axis. */
function taken(
  numbers: Float32Array,
  { shape }: Pick<LazyTensor, 'shape'>,
  axis: number,
  places: readonly number[],
): number[] {
  const count = shape[axis] ?? 1;
  const inner = elementCount(shape.slice(axis + 1));
  const leadingSize = elementCount(shape.slice(0, axis));
  return Array.from({ length: leadingSize }, (_, row) =>
    places.flatMap((place) => {
      const start = (row * count + place) * inner;
      return [...numbers.subarray(start, start + inner)];
    }),
  ).flat();
}

const plans = await Promise.all(
  quantizedCases.map(async (name) => [name, await firstUnits(name)] as const),
);

describe('a width-pruned quantized folder', () => {
  it.each(plans.filter(([, plan]) => plan.length > 0))(
    'of %s keeps the values of the remaining channels',
    async (name, plan) => {
      const source: { model: LayeredModel } = await openModelFiles(quantizedFixture(name));
      const described = await describeWidthPruned(await openModelFiles(quantizedFixture(name)), {
        widths: plan,
      });
      const result = await pruneWidths(quantizedFixture(name), { widths: plan }, name);
      expect(result.verification.relativeError).toBe(0);
      const written: { model: LayeredModel } = await openModelFiles(result.path);
      expect(described.summary.parameters).toBe(result.parametersAfter);
      expect(described.summary.bytes).toBe(written.model.summary.bytes);
      for (const { sublayer, remove } of plan) {
        const index = source.model.summary.sublayers.findIndex(({ id }) => id === sublayer);
        const width = source.model.sublayer(index).width;
        const widthPruned = written.model.sublayer(index).width;
        const removedChannels = new Set(parseRanges(remove));
        const remaining = [...Array(width?.count ?? 0).keys()].filter(
          (place) => !removedChannels.has(place),
        );
        for (const { tensor, axis, places } of width?.tensors ?? []) {
          const own = written.model.sublayer(index).tensors.find((one) => one.name === tensor.name);
          if (own === undefined) {
            throw new Error(`${tensor.name} is missing`);
          }
          const expected = taken(await weightFloats(tensor), tensor, axis, places(remaining));
          expect([...(await weightFloats(own))], tensor.name).toEqual(expected);
        }
        if (remaining.length > (width?.step ?? 1)) {
          expect(widthPruned?.count).toBe(remaining.length);
        }
      }
    },
  );

  it('is possible if whole words and groups are removed', () => {
    const listKinds = (name: string): string => {
      const plan = plans.find(([one]) => one === name)?.[1] ?? [];
      return [...new Set(plan.map(({ sublayer }) => sublayer.split('.').at(-1)))].join();
    };
    const both = ['gptq-8-v2', 'gptq-2-no-index', 'awq', 'bnb-int8', 'compressed-int4'];
    both.push('compressed-int8', 'compressed-fp8', 'compressed-nvfp4', 'modelopt-nvfp4');
    expect(both.map(listKinds)).toEqual(both.map(() => 'attention,feedforward'));
    // Blocks of 24 × 48: half of the channels are whole blocks of all matrices, and no heads are.
    expect(listKinds('fp8')).toBe('feedforward');
    // A key's 16 numbers of three bits each end within a word.
    expect(['gptq-3', 'compressed-int3'].map(listKinds)).toEqual(['feedforward', 'feedforward']);
  });

  it('is a standard model if all MLPs have the same width', async () => {
    const plan = [0, 1].map((block) => ({
      sublayer: `block.${block}.feedforward`,
      remove: '0-31',
    }));
    const { path, layout } = await pruneWidths(
      quantizedFixture('gptq-3'),
      { widths: plan },
      'even',
    );
    expect(layout).toBe('blocks');
    expect(readConfig(path)).toMatchObject({
      intermediate_size: 64,
      quantization_config: { group_size: 32, bits: 3 },
    });
  });

  it.each([
    [
      'gptq-4-act-order',
      { code: 'width-not-prunable' as const, file: 'gptq-4-act-order', field: 'widths' },
    ],
    ['bnb-nf4', { code: 'width-not-prunable' as const, file: 'bnb-nf4', field: 'widths' }],
    ['awq-gemv', { code: 'width-not-prunable' as const, file: 'awq-gemv', field: 'widths' }],
  ])('of %s is refused with the reason', async (name, message) => {
    const changes = { widths: [{ sublayer: 'block.0.feedforward', remove: '0-31' }] };
    const error = await rejection(pruneWidths(quantizedFixture(name), changes, 'refused'));
    expect(error).toFailWith(message);
  });

  it('keeps all inputs if the last group is shorter', async () => {
    const { model }: { model: LayeredModel } = await openModelFiles(quantizedFixture('gptq-3'));
    const [tensor] = model.sublayer(1).width?.tensors.map(({ tensor: one }) => one) ?? [];
    const packed = tensor?.packed;
    if (packed === undefined) {
      throw new Error('the fixture is packed');
    }
    const scales = { tensor: packed.matrix.tensor, shape: [5, 64] as const };
    const cutOff = { ...packed, matrix: { ...packed.matrix, times: { matrix: scales } } };
    expect(packedUnit(cutOff, packed.isTransposed ? 1 : 0)).toBeUndefined();
  });

  it('is refused for a part of a group', async () => {
    const changes = { widths: [{ sublayer: 'block.0.feedforward', remove: '0-15' }] };
    const error = await rejection(pruneWidths(quantizedFixture('gptq-3'), changes, 'part'));
    expect(error).toFailWith({ code: 'width-not-aligned', file: 'gptq-3', field: 'widths.0' });
  });
});

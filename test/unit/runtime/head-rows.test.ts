import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { Head } from '../../../extension/core/runtime/head';
import { readHeadRows } from '../../../extension/core/runtime/head-rows';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn, floatTensor, int64Tensor } from '../../../extension/core/runtime/tensors';
import { ggufFixture } from '../gguf-fixtures';
import { makeRandomModel } from '../random-model';

const chosen = Int32Array.of(0, 3, 4, 17, 63);

async function withExecutor(
  path: string,
  options: { readonly roundsHead?: boolean },
  test: (executor: LayeredExecutor) => Promise<void>,
): Promise<void> {
  const executor = new LayeredExecutor(await openModel(path), 'cpu', 1 << 28, options);
  try {
    await test(executor);
  } finally {
    await executor.dispose();
  }
}

/** Logits of `chosen` from rows of the head that are decoded here, and from those that the graph gathers. */
async function bothLogits(executor: LayeredExecutor): Promise<[Float32Array, Float32Array]> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    throw new Error('the fixture has no head');
  }
  const head = Head.of(executor, emitter);
  const { values } = await executor.embed(Int32Array.of(1, 2, 3));
  const hidden = values['hidden'] ?? expect.unreachable();
  const sample = {
    ids: int64Tensor(chosen, [chosen.length]),
    logWeights: floatTensor(new Float32Array(chosen.length), [chosen.length]),
  };
  const rows = await head.rowsOf(chosen);
  expect(rows).toBeDefined();
  const decoded = floatsIn(await head.sampledLogits(hidden, { ...sample, rows })).slice();
  return [decoded, floatsIn(await head.sampledLogits(hidden, sample)).slice()];
}

describe('readHeadRows', () => {
  it('decodes rows of a GGUF head as ONNX Runtime does', async () => {
    await withExecutor(ggufFixture('llama-rope.gguf'), {}, async (executor) => {
      expect((await readHeadRows(executor, chosen))?.kind).toBe('float32');
      const [decoded, gathered] = await bothLogits(executor);
      decoded.forEach((logit, i) => {
        expect(logit).toBeCloseTo(gathered[i] ?? Number.NaN, 4);
      });
    });
  });

  it('leaves rows that are stored as floats to the session', async () => {
    await withExecutor(await makeRandomModel({ seed: 1, blocks: 1 }), {}, async (executor) => {
      expect(await readHeadRows(executor, chosen)).toBeUndefined();
    });
  });

  it('rounds rows to int8 for a copy that candidates are compared on', async () => {
    const options = { roundsHead: true };
    await withExecutor(ggufFixture('llama-rope.gguf'), options, async (executor) => {
      expect((await readHeadRows(executor, chosen))?.kind).toBe('int8');
      const [rounded, exact] = await bothLogits(executor);
      const size = Math.max(...exact.map(Math.abs));
      rounded.forEach((logit, i) => {
        expect(Math.abs(logit - (exact[i] ?? Number.NaN))).toBeLessThan(0.03 * size);
      });
      expect(rounded).not.toEqual(exact);
    });
  });
});

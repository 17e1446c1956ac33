import fc from 'fast-check';
import { InferenceSession } from 'onnxruntime-node';
import { expect, it, vi } from 'vitest';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import {
  divideMemory,
  leastMemory,
  privateBytes,
  requireMemory,
} from '../../../extension/core/runtime/memory-shares';
import { UserError } from '../../../extension/core/user-error';
import { fixture } from '../fixtures';

const models = ['llama-gqa-untied', 'llama-bf16', 'gemma2'] as const;

/** Memory of a model besides its shares. */
function embeddingBytes({ prologue, epilogue }: LayeredModel): number {
  return privateBytes(prologue.part, 'cpu') + privateBytes(epilogue, 'cpu');
}

it.each(models)('the shares of %s are never more than the setting', async (name) => {
  const model = await openModel(fixture(name));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => {
      const shares = Object.values(divideMemory(model, bytes, 'cpu')) as number[];
      const sum = shares.reduce((total, share) => total + share, 0);
      expect(shares.every((share) => share >= 0)).toBe(true);
      const isEnough = doesNotThrow(() => {
        requireMemory(model, bytes, 'cpu');
      });
      expect(sum + (isEnough ? embeddingBytes(model) : 0)).toBeLessThanOrEqual(bytes * (1 + 1e-9));
    }),
  );
});

it('reports the required memory', async () => {
  const model = await openModel(fixture('llama-bf16'));
  const message = /memory: .* needs 3MiB of memory.* Set the memory to at least 3MiB\./;
  expect(() => {
    requireMemory(model, 10, 'cpu');
  }).toThrow(message);
  expect(() => {
    requireMemory(model, 10, 'cpu');
  }).toThrow(UserError);
  requireMemory(model, 3 << 20, 'cpu');
});

it('kept sessions and a streamed one together fit the share for sublayers', async () => {
  const model = await openModel(fixture('llama-bf16'));
  const executor = new LayeredExecutor(model, 'cpu', leastMemory(model, 'cpu'));
  const created = vi.spyOn(InferenceSession, 'create');
  const [kept, streamed]: [number[], number[]] = [[], []];
  try {
    for (const walk of ['first', 'second']) {
      let state = await executor.embed(Int32Array.of(1, 2, 3));
      for (const index of model.summary.sublayers.keys()) {
        created.mockClear();
        [state = state] = await executor.run(index, [state]);
        if (walk === 'second') {
          const { bytes } = model.sublayer(index).part;
          (created.mock.calls.length === 0 ? kept : streamed).push(bytes);
        }
      }
    }
  } finally {
    created.mockRestore();
    await executor.dispose();
  }
  expect(executor.keepsSessions).toBe(false);
  expect(kept.length).toBeGreaterThan(0);
  const cachedBytes = kept.reduce((sum, bytes) => sum + bytes, 0);
  expect(cachedBytes + Math.max(...streamed)).toBeLessThanOrEqual(executor.shares.sublayerBytes);
});

it('float32 stays in its file on the CPU, float16 and other devices need copies', async () => {
  const [mapped, widened] = [
    await openModel(fixture('llama-gqa-untied')),
    await openModel(fixture('llama-bf16')),
  ];
  const bytes = (model: LayeredModel, device: 'cpu' | 'cuda'): number =>
    privateBytes(model.sublayer(0).part, device);
  expect(bytes(mapped, 'cpu')).toBe(0);
  expect(bytes(mapped, 'cuda')).toBe(mapped.sublayer(0).part.bytes);
  expect(bytes(widened, 'cpu')).toBe(widened.sublayer(0).part.bytes);
});

function doesNotThrow(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

import { expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { payingProcesses } from '../../../extension/core/operations/measure-sensitivity';
import { gramBytes } from '../../../extension/core/tensornet/statistics/fitting-memory';
import { fixture } from '../fixtures';

const long = 1e14;

it('a long profile on the CPU uses up to four processes, each with its own core and memory', async () => {
  const model = await openModel(fixture('llama-gqa-untied'));
  const each = 2 * leastMemory(model, 'cpu') + gramBytes(model, Number.POSITIVE_INFINITY);
  const count = (cores: number, memoryBytes: number): number =>
    payingProcesses(model, long, { device: 'cpu', memoryBytes }, cores);
  expect([1, 2, 3, 4, 16].map((cores) => count(cores, 100 * each))).toEqual([1, 2, 3, 4, 4]);
  expect([0.5, 1.9, 2, 3].map((times) => count(16, times * each))).toEqual([1, 1, 2, 3]);
});

it('a short profile, and one on another device, uses one process', async () => {
  const model = await openModel(fixture('llama-gqa-untied'));
  const memoryBytes = 2 ** 32;
  expect(payingProcesses(model, 1e12, { device: 'cpu', memoryBytes }, 8)).toBe(1);
  expect(payingProcesses(model, long, { device: 'webgpu', memoryBytes }, 8)).toBe(1);
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodingFlops } from '../../../extension/core/models/encodings/encoding-facts';
import type { MatrixEncoding, MpoEncoding } from '../../../extension/core/models/matrix-encoding';
import {
  chooseMpoRun,
  explainMpoRun,
  machineCosts,
  predictMilliseconds,
} from '../../../extension/core/tensornet/costs/machine-costs';
import {
  encodingWork,
  fitRates,
  kernelNames,
  predictTime,
} from '../../../extension/core/tensornet/costs/kernels';
import { measureCosts, unlikeCopy } from '../../../extension/core/tensornet/costs/measure-costs';
import { temporaryFolder } from '../temporary-folder';
import { machine } from './machines';
import { randomRuns } from '../sample';

const scratch = temporaryFolder();

const tensor = (...shape: number[]): { shape: number[] } => ({ shape });
type Form = MatrixEncoding<{ shape: readonly number[] }>;

function mpo(bond: number, factors = [16, 16, 16]): MpoEncoding<{ shape: readonly number[] }> {
  const bonds = [bond, bond];
  return {
    kind: 'mpo',
    sites: { out: factors, in: factors },
    bonds,
    cores: factors.map((factor, k) => tensor(bonds[k - 1] ?? 1, factor, factor, bonds[k] ?? 1)),
    run: 'chained',
  };
}

const forms: Form[] = [
  { kind: 'dense', weight: tensor(40, 64) },
  {
    kind: 'low-rank',
    rank: 8,
    left: { kind: 'dense', weight: tensor(40, 8) },
    right: { kind: 'int8', quants: tensor(64, 8), scales: tensor(8) },
  },
  mpo(5, [4, 4, 4]),
  { ...mpo(5, [4, 4, 4]), run: 'contracted' },
  {
    kind: 'group-quantized',
    bits: 4,
    groupSize: 32,
    out: 40,
    in: 64,
    quants: tensor(40, 2, 16),
    scales: tensor(40, 2),
    run: 'qdq',
  },
  { kind: 'int8', quants: tensor(64, 40), scales: tensor(40) },
];

describe('the work of forms', () => {
  it('has the multiplications of the encodings', () => {
    for (const form of forms) {
      const macs = encodingWork(form, 3).reduce((sum, work) => sum + work.macs, 0);
      expect(2 * macs).toBe(3 * encodingFlops(form));
    }
  });

  it('of a chain of d³ × d³ is d⁴(χ² + 2χ)', () => {
    expect(encodingWork(mpo(80), 1)[0]?.macs).toBe(16 ** 4 * (80 ** 2 + 2 * 80));
  });
});

describe('costs of a machine', () => {
  it('are fitted to kernel times', () => {
    const positive = fc.double({ min: 0.01, max: 10, noNaN: true });
    fc.assert(
      fc.property(positive, positive, positive, positive, (call, byte, mac, moved) => {
        const rates = {
          perCall: call * 1e-3,
          perByte: byte * 1e-8,
          perMac: mac * 1e-8,
          perMoved: moved * 1e-6,
        };
        const samples = [64, 256, 1024].flatMap((width) =>
          [1, 16, 128].flatMap((rows) =>
            encodingWork({ kind: 'dense', weight: tensor(width, width) }, rows).map((work) => ({
              ...work,
              milliseconds: predictTime(rates, work),
            })),
          ),
        );
        const found = fitRates(samples);
        for (const sample of samples) {
          expect(predictTime(found, sample) / sample.milliseconds).toBeCloseTo(1, 1);
        }
        expect(
          [found.perCall, found.perByte, found.perMac, found.perMoved].every((x) => x >= 0),
        ).toBe(true);
      }),
      { numRuns: randomRuns(30, 8) },
    );
  });

  it('add up over the factors of a low rank, and grow with the rows', () => {
    const [dense, lowRank] = forms;
    if (dense?.kind === 'dense' && lowRank?.kind === 'low-rank') {
      const costs = machine(1);
      expect(predictMilliseconds(costs, dense, 10)).toBeCloseTo(10 * 40 * 64 * 1e-6, 12);
      expect(predictMilliseconds(costs, lowRank, 10)).toBeCloseTo(10 * 8 * (40 + 64) * 1e-6, 12);
    }
  });

  it('determine if an MPO is chained, with the reason', () => {
    // 16⁴(χ² + 2χ) against 16⁶: even near χ = 15.
    expect(chooseMpoRun(machine(1), mpo(14), 1).run).toBe('chained');
    expect(chooseMpoRun(machine(1), mpo(16), 1).run).toBe('contracted');
    const slow = chooseMpoRun(machine(2), mpo(14), 16);
    expect(slow.run).toBe('contracted');
    expect(explainMpoRun(slow)).toMatch(/^Contracted when loaded: \S+ ms for 16 rows/);
    expect(explainMpoRun(chooseMpoRun(machine(1), mpo(4), 1))).toMatch(/^Chained: .* 1 row /);
  });

  it('are measured on copies of equal sizes and other bytes', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const form = { kind: 'dense', weight: { dtype: 'F32', shape: [8, 8], bytes } } as const;
    const [first, second] = [unlikeCopy(form, 0), unlikeCopy(form, 1)];
    expect(first).toEqual(form);
    expect(second).toMatchObject({ kind: 'dense', weight: { dtype: 'F32', shape: [8, 8] } });
    const weightBytes = second.kind === 'dense' ? second.weight.bytes : new Uint8Array();
    expect([...weightBytes]).toEqual([...bytes.slice(64), ...bytes.slice(0, 64)]);
  });

  it('are measured for every kernel, in any size', async () => {
    const seen: number[] = [];
    const samples = await measureCosts(
      'cpu',
      async (done, total) => {
        seen.push(done / total);
        return Promise.resolve();
      },
      { widths: [32], rowCounts: [1, 4] },
    );
    expect(new Set(samples.map(({ kernel }) => kernel))).toEqual(new Set(kernelNames));
    expect(samples.every(({ milliseconds }) => milliseconds > 0)).toBe(true);
    expect(seen.at(-1)).toBe(1);
  });

  it('are read from their file, unless that is of another machine or no such document', async () => {
    const file = join(scratch, 'costs.json');
    const stop = async (): Promise<void> => Promise.reject(new Error('measuring'));
    const request = { device: 'cpu', file, afterGraph: stop } as const;
    await expect(machineCosts(request)).rejects.toThrow('measuring');
    const known = machine(3);
    await writeFile(file, JSON.stringify(known));
    expect(await machineCosts(request)).toEqual(known);
    await expect(machineCosts({ ...request, again: true })).rejects.toThrow('measuring');
    await writeFile(file, JSON.stringify({ ...known, machine: 'another' }));
    await expect(machineCosts(request)).rejects.toThrow('measuring');
    await writeFile(file, JSON.stringify({ ...known, version: 3 }));
    await expect(machineCosts(request)).rejects.toThrow('measuring');
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ version: 3 });
  });
});

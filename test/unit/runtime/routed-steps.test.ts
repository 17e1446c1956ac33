import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type { RoutedSteps } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { leastMemory, privateBytes } from '../../../extension/core/runtime/memory-shares';
import { floatsIn } from '../../../extension/core/runtime/tensors';
import type { HiddenState } from '../../../extension/core/runtime/tensors';
import { fixture, relativeError } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { sampled } from '../sample';

const folder = join(import.meta.dirname, '../../fixtures/gguf');
const withExperts = readdirSync(folder)
  .filter((name) => name.endsWith('.gguf') && !name.startsWith('tokenizer'))
  .filter((name) => readFileSync(join(folder, name), 'latin1').includes('.expert_count'));
const cases = await sampled(withExperts, async (name) => {
  const { summary } = await openModel(ggufFixture(name));
  return summary.architecture;
});
const inputs = [
  [3, 14, 15, 9, 26, 5, 35, 8],
  [2, 7, 1, 8],
].map((ids) => Int32Array.from(ids, (id) => id % 32));

const streams = (states: readonly HiddenState[]): Float32Array[] =>
  states.flatMap(({ values }) => Object.values(values).map(floatsIn));

it.each(cases)('%s: experts run one after the other equal one graph', async (name) => {
  const model = await openModel(ggufFixture(name));
  const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
  const narrow = new LayeredExecutor(model, 'cpu', 1);
  let states = await Promise.all(inputs.map(async (input) => executor.embed(input)));
  let compared = 0;
  for (const [index, { experts }] of model.summary.sublayers.entries()) {
    const next = await executor.run(index, states);
    const { routed, mask, part } = model.sublayer(index);
    if (routed !== undefined && experts !== undefined) {
      compared++;
      const rows = new Map<number, number>();
      const apart = await executor.routed(routed, states, (expert, output) => {
        rows.set(expert, (rows.get(expert) ?? 0) + (output.dims[0] ?? 0));
      });
      const sent = [...rows.values()].reduce((sum, count) => sum + count, 0);
      expect(sent).toBe(12 * experts.perToken);
      streams(apart).forEach((stream, i) => {
        expect(relativeError(stream, streams(next)[i] ?? stream)).toBeLessThan(1e-5);
      });
      if (mask !== undefined && privateBytes(part, 'cpu') > 0) {
        expect(narrow.keepsSessions).toBe(false);
        const without = [[0], [1]];
        const expected = streams(await executor.run(index, states, undefined, without));
        const masked = streams(await narrow.run(index, states, undefined, without));
        masked.forEach((stream, i) => {
          expect(relativeError(stream, expected[i] ?? stream)).toBeLessThan(1e-5);
        });
      }
    }
    states = next;
  }
  expect(compared).toBeGreaterThan(0);
  await executor.dispose();
  await narrow.dispose();
});

/** Counts the sessions that are made of each expert. */
function countBuilds({ experts }: RoutedSteps): number[] {
  const counts = experts.map(() => 0);
  experts.forEach(({ part }, i) => {
    const build = part.build.bind(part);
    vi.spyOn(part, 'build').mockImplementation(() => {
      counts[i] = (counts[i] ?? 0) + 1;
      return build();
    });
  });
  return counts;
}

it('reads only experts that tokens are sent to, each once for all sequences', async () => {
  const model = await openModel(fixture('qwen3-moe'));
  const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
  const index = model.summary.sublayers.findIndex(({ experts }) => experts !== undefined);
  const { routed } = model.sublayer(index);
  if (routed === undefined) throw new Error('no MoE layer');
  const counts = countBuilds(routed);
  const states = [];
  for (const input of [Int32Array.of(5), Int32Array.of(5), Int32Array.of(6)]) {
    states.push(await executor.embed(input));
  }
  const reached = new Set<number>();
  const shares: number[] = [];
  await executor.routed(
    routed,
    states,
    (expert) => reached.add(expert),
    (share = 0) => {
      shares.push(share);
      return Promise.resolve();
    },
  );
  expect(reached.size).toBeLessThan(counts.length);
  expect(counts).toEqual(counts.map((_, i) => (reached.has(i) ? 1 : 0)));
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  expect(shares.at(-1)).toBe(1);
  await executor.dispose();
});

it('an MoE layer needs memory for its largest expert, not for all', async () => {
  const model = await openModel(ggufFixture('gpt-oss.gguf'));
  const { routed, part } = model.sublayer(1);
  const largest = Math.max(
    ...(routed?.experts ?? []).map((expert) => privateBytes(expert.part, 'cpu')),
  );
  expect(largest).toBeGreaterThan(0);
  const all = privateBytes(part, 'cpu');
  expect(all).toBeGreaterThan(largest * ((routed?.experts.length ?? 0) - 1));
  const dense = {
    ...model,
    sublayer: (i: number) => ({ ...model.sublayer(i), routed: undefined }),
  };
  expect(leastMemory(model, 'cpu')).toBeLessThan(
    leastMemory(Object.assign(Object.create(model) as typeof model, dense), 'cpu'),
  );
});

it('expects to open the experts that tokens reach if routers send them to all equally', async () => {
  const model = await openModel(ggufFixture('qwen3moe.gguf'));
  const narrow = new LayeredExecutor(model, 'cpu', 1);
  const { sublayers } = model.summary;
  const whole = narrow.openedBytes(1, Number.POSITIVE_INFINITY);
  const experts = [...narrow.streamed].map((index) => {
    const parts = model.sublayer(index).routed?.experts ?? [];
    return parts.reduce((sum, { part }) => sum + privateBytes(part, 'cpu'), 0);
  });
  const own = experts.reduce((sum, bytes) => sum + bytes, 0);
  expect(own).toBeGreaterThan(0);
  const { count, perToken } = sublayers.find((one) => one.experts !== undefined)?.experts ?? {
    count: 0,
    perToken: 0,
  };
  // One token reaches its own experts, and two tokens share some of theirs.
  const missing = 1 - perToken / count;
  expect(narrow.openedBytes(1, sublayers.length)).toBeCloseTo(whole - own * missing, 3);
  expect(narrow.openedBytes(3, 6 * sublayers.length)).toBeCloseTo(
    3 * (whole - own * missing ** 2),
    3,
  );
  await narrow.dispose();
});

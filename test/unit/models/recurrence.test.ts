import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { emitChunkedRecurrence } from '../../../extension/core/models/parts/mixers/chunked-recurrence';
import type { MixerInput } from '../../../extension/core/models/parts/mixers/mixer-kind';
import { emitSequence, emitRowsOf } from '../../../extension/core/models/parts/mixers/pieces';
import { emitRecurrence } from '../../../extension/core/models/parts/mixers/recurrence';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { relativeError } from '../fixtures';
import { openSession } from '../whole-session';

const [batch, groups, perGroup, keys, values] = [2, 2, 3, 4, 5];
const heads = groups * perGroup;
const widths = {
  logDecay: heads,
  rate: heads,
  key: groups * keys,
  query: groups * keys,
  value: heads * values,
};
type Name = keyof typeof widths;
const names = Object.keys(widths) as Name[];

/** Rows [batch · sequence, width] of each. */
function numbers(sequence: number): Record<Name, Float32Array> {
  const random = seededRandom(7);
  const made = names.map((name) => [
    name,
    Float32Array.from({ length: batch * sequence * widths[name] }, () => {
      const x = random();
      return name === 'logDecay' ? -3 * x : name === 'rate' ? x : x - 0.5;
    }),
  ]);
  return Object.fromEntries(made) as Record<Name, Float32Array>;
}

/** S = a·S + kᵀ·(v or rate · (v − k·a·S)), y = q·S, position by position. */
function expected(data: Record<Name, Float32Array>, sequence: number, isDelta: boolean) {
  const result: number[] = [];
  for (let example = 0; example < batch; example++) {
    const states = Array.from({ length: heads }, () => new Float64Array(keys * values));
    for (let position = 0; position < sequence; position++) {
      const row = example * sequence + position;
      const at = (name: Name, i: number): number => data[name][row * widths[name] + i] ?? 0;
      for (const [head, state] of states.entries()) {
        const group = Math.floor(head / perGroup);
        const decay = Math.exp(at('logDecay', head));
        state.forEach((x, i) => (state[i] = x * decay));
        const through = (name: 'key' | 'query', v: number): number =>
          Array.from(
            { length: keys },
            (_, k) => at(name, group * keys + k) * (state[k * values + v] ?? 0),
          ).reduce((sum, x) => sum + x, 0);
        for (let v = 0; v < values; v++) {
          const given = at('value', head * values + v);
          const added = isDelta ? at('rate', head) * (given - through('key', v)) : given;
          for (let k = 0; k < keys; k++) {
            state[k * values + v] =
              (state[k * values + v] ?? 0) + at('key', group * keys + k) * added;
          }
          result.push(through('query', v));
        }
      }
    }
  }
  return Float32Array.from(result);
}

async function run(
  sequence: number,
  emit: (input: MixerInput, values: Record<Name, string>) => string,
): Promise<Float32Array> {
  const graph = new GraphBuilder('recurrence');
  const given = Object.fromEntries(
    names.map((name) => [name, graph.input(name, DataType.FLOAT, ['rows', widths[name]])]),
  ) as Record<Name, string>;
  const leading = graph.input('leading', DataType.INT64, [2]);
  const input: MixerInput = {
    graph,
    rows: '',
    leading,
    epsilon: 0,
    mask: (rows) => rows,
    cache: undefined,
  };
  graph.output('y', emit(input, given), DataType.FLOAT);
  const session = await openSession(graph.toBytes(() => ({ location: '', offset: 0 })));
  const data = numbers(sequence);
  const feeds: [string, Tensor][] = names
    .filter((name) => session.inputNames.includes(name))
    .map((name) => [name, new Tensor('float32', data[name], [batch * sequence, widths[name]])]);
  const { y } = await session.run({
    ...Object.fromEntries(feeds),
    leading: new Tensor('int64', BigInt64Array.of(BigInt(batch), BigInt(sequence)), [2]),
  });
  await session.release();
  return y?.data as Float32Array;
}

describe.each([1, 32, 70])('a recurrence over %i positions', (sequence) => {
  it.each([false, true])('by chunks is that by positions; delta rule: %s', async (isDelta) => {
    const size = { groups, perGroup, keys, values };
    const actual = await run(sequence, (input, { rate, ...given }) =>
      emitChunkedRecurrence(input, size, isDelta ? { ...given, rate } : given),
    );
    const reference = expected(numbers(sequence), sequence, isDelta);
    expect(relativeError(actual, reference)).toBeLessThan(2e-6);
  });

  it('by positions takes any decay', async () => {
    const actual = await run(sequence, (input, { logDecay, key, query, value, rate }) => {
      const { graph, leading } = input;
      const size = { heads, keys, values };
      const spread = (x: string): string => {
        const each = emitSequence(input, x, groups, 1, keys);
        const shape = graph.op('Concat', [leading, graph.ints([groups, perGroup, keys])], {
          axis: 0,
        });
        const every = graph.op('Expand', [each, shape]);
        return emitSequence(input, emitRowsOf(input, every, heads * keys), heads, 1, keys);
      };
      const result = emitRecurrence(input, size, {
        decay: emitSequence(input, logDecay, heads, 1, 1),
        decayOf: (body, x) => body.op('Exp', [x]),
        key: spread(key),
        query: spread(query),
        value: emitSequence(input, value, heads, 1, values),
        rate: emitSequence(input, rate, heads, 1, 1),
      });
      return emitRowsOf(input, result, heads * values);
    });
    const reference = expected(numbers(sequence), sequence, true);
    expect(relativeError(actual, reference)).toBeLessThan(2e-6);
  });
});

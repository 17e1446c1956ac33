import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import {
  emitChunkedRecurrence,
  emitRecurrence,
} from '../../../extension/core/models/parts/mixers/chunked-recurrence';
import type { MixerInput } from '../../../extension/core/models/parts/mixers/mixer-kind';
import type { SublayerCache } from '../../../extension/core/models/model-emitter';
import { emitSequence, emitAsRows } from '../../../extension/core/models/parts/mixers/pieces';
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

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The state that all heads carry along, as an input and an output of the graph. */
class PortedState implements SublayerCache {
  private sizes: readonly number[] = [];

  public constructor(private readonly graph: GraphBuilder) {}

  public past(_: string, sizes: readonly (number | 'positions')[]): string {
    this.sizes = sizes.map(Number);
    return this.graph.input('past', DataType.FLOAT, ['batch', ...this.sizes]);
  }

  public keep(_: string, value: string): void {
    this.graph.output('present', value, DataType.FLOAT, ['batch', ...this.sizes]);
  }

  public first(): Tensor {
    const shape = [batch, ...this.sizes];
    return new Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b)), shape);
  }
}

/** Some positions of every example. */
function makeRows(
  data: Float32Array,
  width: number,
  sequence: number,
  start: number,
  count: number,
): Tensor {
  const rows = Array.from({ length: batch }, (_, example) => {
    const first = (example * sequence + start) * width;
    return [...data.subarray(first, first + count * width)];
  });
  return new Tensor('float32', Float32Array.from(rows.flat()), [batch * count, width]);
}

/** Runs pieces of a sequence, one after the other; several with a cache of the state. */
async function run(
  pieces: readonly number[],
  emit: (input: MixerInput, values: Record<Name, string>) => string,
): Promise<Float32Array> {
  const graph = new GraphBuilder('recurrence');
  const given = Object.fromEntries(
    names.map((name) => [name, graph.input(name, DataType.FLOAT, ['rows', widths[name]])]),
  ) as Record<Name, string>;
  const leading = graph.input('leading', DataType.INT64, [2]);
  const cache = pieces.length > 1 ? new PortedState(graph) : undefined;
  const input: MixerInput = {
    graph,
    rows: '',
    leading,
    epsilon: 0,
    starts: '',
    mask: (rows) => rows,
    cache,
  };
  graph.output('y', emit(input, given), DataType.FLOAT);
  const session = await openSession(graph.toBytes(() => ({ location: '', offset: 0 })));
  const sequence = sum(pieces);
  const data = numbers(sequence);
  const width = heads * values;
  const result = new Float32Array(batch * sequence * width);
  let past = cache?.first();
  let start = 0;
  for (const piece of pieces) {
    const feeds = names
      .filter((name) => session.inputNames.includes(name))
      .map((name) => [name, makeRows(data[name], widths[name], sequence, start, piece)] as const);
    const outputs = await session.run({
      ...Object.fromEntries(feeds),
      ...(past === undefined ? {} : { past }),
      leading: new Tensor('int64', BigInt64Array.of(BigInt(batch), BigInt(piece)), [2]),
    });
    const y = outputs['y']?.data as Float32Array;
    for (let example = 0; example < batch; example++) {
      const rows = y.subarray(example * piece * width, (example + 1) * piece * width);
      result.set(rows, (example * sequence + start) * width);
    }
    past = outputs['present'];
    start += piece;
  }
  await session.release();
  return result;
}

describe.each([[1], [32], [70], [33, 1, 36]].map((pieces) => ({ pieces })))(
  'a recurrence over $pieces positions',
  ({ pieces }) => {
    const sequence = sum(pieces);

    it.each([false, true])('by chunks is that by positions; delta rule: %s', async (isDelta) => {
      const size = { groups, perGroup, keys, values };
      const actual = await run(pieces, (input, { rate, ...given }) =>
        emitChunkedRecurrence(input, size, isDelta ? { ...given, rate } : given),
      );
      const reference = expected(numbers(sequence), sequence, isDelta);
      expect(relativeError(actual, reference)).toBeLessThan(2e-6);
    });

    it('by positions supports any decay', async () => {
      const actual = await run(pieces, (input, { logDecay, key, query, value, rate }) => {
        const { graph, leading } = input;
        const size = { heads, keys, values };
        const spread = (x: string): string => {
          const each = emitSequence(input, x, groups, 1, keys);
          const shape = graph.op('Concat', [leading, graph.ints([groups, perGroup, keys])], {
            axis: 0,
          });
          const every = graph.op('Expand', [each, shape]);
          return emitSequence(input, emitAsRows(input, every, heads * keys), heads, 1, keys);
        };
        const result = emitRecurrence(input, size, {
          decay: emitSequence(input, logDecay, heads, 1, 1),
          decayOf: (body, x) => body.op('Exp', [x]),
          key: spread(key),
          query: spread(query),
          value: emitSequence(input, value, heads, 1, values),
          rate: emitSequence(input, rate, heads, 1, 1),
        });
        return emitAsRows(input, result, heads * values);
      });
      const reference = expected(numbers(sequence), sequence, true);
      expect(relativeError(actual, reference)).toBeLessThan(2e-6);
    });
  },
);

import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder } from '../onnx/graph-builder';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { doublesOf } from '../runtime/tensors';
import type { HiddenState, Tensor } from '../runtime/tensors';
import type { InputStatistics } from './input-statistics';

/** Sums over the rows of what goes into linear layers. */
interface Sums {
  readonly size: number;
  readonly gram: Float64Array;
  readonly magnitudes: Float64Array;
  count: number;
}

/**
 * What went into linear layers of sublayer `index` when `states`, in front of it, were taken through:
 * of those in `ids`, by id. Layers that read the same values share what is known of them. Sums are
 * float64.
 * @param afterRun awaited after each run, which blocks the thread; may throw to stop.
 */
export async function collectStatistics(
  executor: LayeredExecutor,
  index: number,
  states: readonly HiddenState[],
  ids: ReadonlySet<string>,
  afterRun?: () => Promise<void>,
): Promise<Map<string, InputStatistics>> {
  const step = executor.model.tapped?.(index);
  if (step === undefined) {
    throw new Error(`nothing is known of the linear layers of sublayer ${index}`);
  }
  const sums = new Map<string, Sums>();
  const observe = async (inputs: ReadonlyMap<string, Tensor>): Promise<void> => {
    const seen = new Set<string>();
    for (const [id, rows] of inputs) {
      const tap = step.taps.get(id) ?? id;
      if (ids.has(id) && !seen.has(tap)) {
        seen.add(tap);
        sums.set(tap, await added(executor, sums.get(tap), rows));
      }
    }
  };
  await executor.tap(step, states, observe, afterRun);
  const known = new Map([...sums].map(([tap, found]) => [tap, statisticsOf(found)]));
  return new Map(
    [...step.taps].flatMap(([id, tap]) => {
      const found = ids.has(id) ? known.get(tap) : undefined;
      return found === undefined ? [] : [[id, found]];
    }),
  );
}

function statisticsOf({ size, gram, magnitudes, count }: Sums): InputStatistics {
  return {
    count,
    gram: { size, numbers: gram },
    meanMagnitudes: magnitudes.map((sum) => sum / Math.max(1, count)),
  };
}

async function added(
  executor: LayeredExecutor,
  before: Sums | undefined,
  rows: Tensor,
): Promise<Sums> {
  const [count = 0, size = 0] = rows.dims;
  const sums = before ?? {
    size,
    gram: new Float64Array(size * size),
    magnitudes: new Float64Array(size),
    count: 0,
  };
  if (count === 0) {
    return sums;
  }
  const outputs = await executor.compute(
    { key: 'input.sums', bytes: 0, build: emitSums },
    { rows },
  );
  addTo(sums.gram, doublesOf(outputs, 'gram'));
  addTo(sums.magnitudes, doublesOf(outputs, 'magnitudes'));
  sums.count += count;
  return sums;
}

/** rows [count, size] → gram Σ xᵀ·x [size, size] and Σ |x| [size], float64. */
function emitSums(graph: GraphBuilder): void {
  const rows = graph.input('rows', DataType.FLOAT, ['count', 'size']);
  const exact = graph.op('Cast', [rows], { to: DataType.DOUBLE });
  const gram = graph.op('Gemm', [exact, exact], { transA: 1 });
  const magnitudes = graph.reduce('ReduceSum', graph.op('Abs', [exact]), [0], 0);
  graph.output('gram', gram, DataType.DOUBLE, ['size', 'size']);
  graph.output('magnitudes', magnitudes, DataType.DOUBLE, ['size']);
}

function addTo(sum: Float64Array, more: Float64Array): void {
  for (const [i, x] of more.entries()) {
    sum[i] = (sum[i] ?? 0) + x;
  }
}

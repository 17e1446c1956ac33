import type { ModelInput } from '../models/example';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { LayeredExecutor, Readout } from '../runtime/layered-executor';
import { floatsOf, int64Tensor, join } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import type { MetricName } from './metric-names';
import { createReadout } from './metric-readout';
import type { AfterRun } from './metric-readout';
import type { Metric } from './metrics';

/** Ids that each row's most probable ones may fill. */
const likelyIds = 3072;
/** Ids spread over the vocabulary, for what the original finds improbable. */
const spreadIds = 1024;
/** Logits in one run. */
const maxLogits = 1 << 22;

/** Sees states of one example, and gives each one's sum of terms over rows, or nearly that. */
export type ProxyReadout = (
  states: readonly HiddenState[],
  afterRun?: AfterRun,
) => Promise<number[]>;

/**
 * A readout for ranking: where the vocabulary is large, logits of some thousand ids alone stand for all
 * (those likely by the original, and some others), which costs a fraction of the head. Its sums are
 * proportional to the metric's in a rough way only.
 * @param original final state of the tokens of `input` that states hold
 */
export async function createProxyReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  input: ModelInput,
  original: HiddenState,
): Promise<ProxyReadout> {
  const { emitter } = executor.model;
  const isSmall = emitter === undefined || emitter.vocabularySize <= likelyIds + spreadIds;
  // A metric of values needs all of them.
  if (isSmall || !metric.needsScores) {
    const readout = createReadout(executor, name, metric);
    return async (states, afterRun) => {
      const terms = await readout.rowTerms(input, original, states, undefined, afterRun);
      return terms.map((rows) => rows.reduce((sum, term) => sum + term, 0));
    };
  }
  const [, rows = 1] = original.values[stream]?.dims ?? [];
  const next = nextIds(input, rows);
  const ids = chooseIds(await executor.logits(original), rows, next);
  const places = new Map(ids.map((id, place) => [id, place]));
  const targets = int64Tensor(
    next.map((id) => places.get(id) ?? -1),
    [1, rows],
  );
  const readout = readoutOver(emitter, name, metric, ids);
  const { [stream]: reference } = original.values;
  const perRun = Math.max(1, Math.floor(maxLogits / (ids.length * rows)));
  return async (states, afterRun) => {
    const sums: number[] = [];
    for (let start = 0; start < states.length; start += perRun) {
      const group = states.slice(start, start + perRun);
      const candidate = join(group.flatMap(({ values }) => values[stream] ?? []));
      const outputs = await executor.read(readout, {
        ...(reference === undefined ? {} : { original: reference }),
        candidate,
        targets,
      });
      sums.push(...floatsOf(outputs, 'sums'));
      await afterRun?.();
    }
    return sums;
  };
}

function readoutOver(
  emitter: ModelEmitter,
  name: MetricName,
  metric: Metric,
  ids: readonly number[],
): Readout {
  return {
    key: `proxy.${name}`,
    build: (graph) => {
      const port = (of: string, batch: number | string): string =>
        graph.input(of, DataType.FLOAT, [batch, 'sequence', emitter.hiddenSize]);
      const terms = metric.emitTerms(graph, {
        original: emitter.emitEpilogue(graph, port('original', 1), ids),
        candidate: emitter.emitEpilogue(graph, port('candidate', 'batch'), ids),
        targets: graph.input('targets', DataType.INT64, [1, 'sequence']),
      });
      const sums = graph.op('ReduceSum', [terms, graph.ints([1])], { keepdims: 0 });
      graph.output('sums', sums, DataType.FLOAT, ['batch']);
    },
  };
}

/** The likeliest ids of every row, what comes next in the text, and ids from all over the vocabulary. */
function chooseIds(logits: Float32Array, rows: number, next: readonly number[]): number[] {
  const vocabulary = logits.length / rows;
  const chosen = new Set(next.filter((id) => id >= 0));
  const perRow = Math.max(1, Math.floor(likelyIds / rows));
  for (let row = 0; row < rows; row++) {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    const least = Float32Array.from(own).sort()[vocabulary - perRow] ?? 0;
    own.forEach((logit, id) => {
      if (logit >= least) {
        chosen.add(id);
      }
    });
  }
  for (let i = 0; i < spreadIds; i++) {
    chosen.add(Math.floor((i * vocabulary) / spreadIds));
  }
  return [...chosen].sort((a, b) => a - b);
}

function nextIds(input: ModelInput, rows: number): number[] {
  const ids = input instanceof Int32Array ? input : new Int32Array();
  return Array.from({ length: rows }, (_, i) => ids[i + 1] ?? -1);
}

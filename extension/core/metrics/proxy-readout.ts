import type { ModelInput } from '../models/example';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import { Head } from '../runtime/head';
import type { LayeredExecutor, Readout } from '../runtime/layered-executor';
import { floatsIn, int64Tensor, join, rowsOf, tensorOf } from '../runtime/tensors';
import type { HiddenState, Tensor } from '../runtime/tensors';
import type { MetricName, Metric } from './metrics';
import { LogitsMeter } from './logits-meter';
import { createReadout } from './metric-readout';
import type { AfterRun } from './row-readout';

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
  const likely = await new Head(executor, emitter).logits(rowsOf(original.values, stream, 0, rows));
  const ids = chooseIds(floatsIn(likely), rows, next);
  const places = new Map(ids.map((id, place) => [id, place]));
  const targets = int64Tensor(
    next.map((id) => places.get(id) ?? -1),
    [1, rows],
  );
  const head = headOver(emitter, ids);
  const logitsOf = async (states: readonly HiddenState[]): Promise<Tensor> => {
    const hidden = join(states.flatMap(({ values }) => values[stream] ?? []));
    return tensorOf(await executor.read(head, { [stream]: hidden }), 'logits');
  };
  const meter = new LogitsMeter(executor, name, metric, 'candidate');
  const reference = meter.readsOriginal ? await meter.originalOf(await logitsOf([original])) : {};
  const perRun = Math.max(1, Math.floor(maxLogits / (ids.length * rows)));
  return async (states, afterRun) => {
    const sums: number[] = [];
    for (let start = 0; start < states.length; start += perRun) {
      const group = states.slice(start, start + perRun);
      const terms = await meter.terms(reference, await logitsOf(group), targets);
      group.forEach((_, i) => {
        const own = terms.subarray(i * rows, (i + 1) * rows);
        sums.push(own.reduce((sum, term) => sum + term, 0));
      });
      await afterRun?.();
    }
    return sums;
  };
}

/** The head, for some ids of the vocabulary alone. */
function headOver({ hiddenSize }: ModelEmitter, ids: readonly number[]): Readout {
  return {
    key: 'proxy',
    costs: { bytes: ids.length * hiddenSize * Float32Array.BYTES_PER_ELEMENT },
    build: (graph, emitter) => {
      const shape = ['batch', 'rows', hiddenSize];
      const hidden = graph.input(stream, DataType.FLOAT, shape);
      const logits = emitter.emitEpilogue(graph, hidden, ids);
      graph.output('logits', logits, DataType.FLOAT, ['batch', 'rows', ids.length]);
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

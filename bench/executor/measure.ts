// Times the executor on a model and prints JSON:
//     node measure.cjs sublayers|readout MODEL
import process from 'node:process';
import { createReadout } from '../../extension/core/metrics/metric-readout';
import { metrics } from '../../extension/core/metrics/metrics';
import { stream } from '../../extension/core/models/model-emitter';
import { openModel } from '../../extension/core/models/open-model';
import { DataType, GraphBuilder } from '../../extension/core/onnx/graph-builder';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { createSession } from '../../extension/core/runtime/session';
import { floatTensor } from '../../extension/core/runtime/tensors';
import type { HiddenState } from '../../extension/core/runtime/tensors';
import { race, randomRows } from '../lib/race';
import type { Task } from '../lib/race';

const tokens = 128;
const candidates = 4;
const rows = 64;
const memoryBytes = 2 ** 32;

/** Milliseconds of a sublayer evaluation and of the products in it alone, mean over the model's sublayers. */
async function sublayers(path: string): Promise<Record<string, number>> {
  const executor = new LayeredExecutor(await openModel(path), 'cpu', memoryBytes);
  const { model } = executor;
  const ids = Int32Array.from({ length: tokens }, (_, i) => (31 * i) % 1000);
  const state = await executor.embed(ids);
  const count = model.summary.sublayers.length;
  const walk = async (): Promise<void> => {
    let states: HiddenState[] = Array.from({ length: candidates }, () => state);
    for (let index = 0; index < count; index++) {
      states = await executor.run(index, states);
    }
  };
  const products: (() => Promise<unknown>)[] = [];
  for (let index = 0; index < count; index++) {
    for (const { weight } of model.sublayer(index).linearLayers) {
      const [out = 0, input = 0] = weight.shape;
      const graph = new GraphBuilder(weight.name);
      const x = graph.input('x', DataType.FLOAT, ['rows', input]);
      const { name, shape, file, offset, length } = weight;
      const w = graph.weight({ name, dataType: DataType.FLOAT, shape, file, offset, length });
      const y = graph.op('Gemm', [x, w], { transB: 1 });
      graph.handOver('y', y, DataType.FLOAT, ['rows', out]);
      const session = await createSession(graph, { device: 'cpu', prepack: true });
      const perRun = 2 * tokens;
      const feeds = { x: floatTensor(randomRows(perRun, input), [perRun, input]) };
      const fetches = { y: floatTensor(new Float32Array(perRun * out), [perRun, out]) };
      products.push(async () => session.run(feeds, fetches));
    }
  }
  const multiply = async (): Promise<void> => {
    for (let done = 0; done < candidates; done += 2) {
      for (const product of products) await product();
    }
  };
  return race([
    { name: 'evaluation', run: walk, count: count * candidates },
    { name: 'products', run: multiply, count: count * candidates },
  ]);
}

/** Milliseconds of a row: the head's product alone, and head and metric. */
async function readout(path: string): Promise<Record<string, number>> {
  const executor = new LayeredExecutor(await openModel(path), 'cpu', memoryBytes);
  const { emitter } = executor.model;
  if (emitter === undefined) throw new Error(`${path} emits no head`);
  const { hiddenSize, vocabularySize } = emitter;
  const graph = new GraphBuilder('head');
  const input = graph.input('rows', DataType.FLOAT, ['rows', hiddenSize]);
  const logits = emitter.emitHead(graph, input);
  graph.handOver('logits', logits, DataType.FLOAT, ['rows', vocabularySize]);
  const session = await createSession(graph, { device: 'cpu', prepack: true });
  const feeds = { rows: floatTensor(randomRows(rows, hiddenSize), [rows, hiddenSize]) };
  const fetches = {
    logits: floatTensor(new Float32Array(rows * vocabularySize), [rows, vocabularySize]),
  };
  const ids = new Int32Array(rows);
  const { side } = await executor.embed(ids);
  const state = (): HiddenState => ({
    values: { [stream]: floatTensor(randomRows(rows, hiddenSize), [1, rows, hiddenSize]) },
    side,
  });
  const original = state();
  const changed = Array.from({ length: candidates }, state);
  const metric = (name: 'js' | 'kl'): Task => {
    const measured = createReadout(executor, name, metrics[name]);
    return {
      name,
      run: async () => measured.rowTerms(ids, original, changed),
      count: candidates * rows,
    };
  };
  return race([
    { name: 'product', run: async () => session.run(feeds, fetches), count: rows },
    metric('js'),
    metric('kl'),
  ]);
}

async function main([what = '', path = '']: readonly string[]): Promise<void> {
  console.log(JSON.stringify(await (what === 'sublayers' ? sublayers(path) : readout(path))));
}

void main(process.argv.slice(2));

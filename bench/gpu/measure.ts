// Times the first block of a model on a device and prints JSON, milliseconds and bytes:
//     node measure.cjs DEVICE MODEL TOKENS
import process from 'node:process';
import type { LayeredModel } from '../../extension/core/models/layered-model';
import { openModel } from '../../extension/core/models/open-model';
import { emitWeight } from '../../extension/core/models/parts/weight';
import { DataType, GraphBuilder } from '../../extension/core/onnx/graph-builder';
import { isDeviceName } from '../../extension/core/runtime/device';
import type { DeviceName } from '../../extension/core/runtime/device';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { createSession } from '../../extension/core/runtime/session';
import { floatTensor } from '../../extension/core/runtime/tensors';
import { race } from '../lib/race';
import { watchTraffic } from '../lib/traffic';

/** Far more than the block takes. */
const memoryBytes = 2 ** 36;
const sublayers = [0, 1];
/** States that go through together. */
const states = 8;

/**
 * Evaluations of a sublayer by the executor, for several states together and for one, and the same
 * matmuls alone, with inputs and outputs on the device except for the largest value. Bytes are
 * those transferred through main memory in one evaluation.
 */
async function measure(device: DeviceName, path: string, tokens: number): Promise<unknown> {
  const traffic = watchTraffic();
  const executor = new LayeredExecutor(await openModel(path), device, memoryBytes);
  const ids = Int32Array.from({ length: tokens }, (_, i) => (31 * i) % 1000);
  const state = await executor.states.toDevice(await executor.embed(ids));
  /** Takes states through; a device goes on when a run has returned, until something is read. */
  const walk = async (together: number, reads = true): Promise<void> => {
    let moving = Array.from({ length: together }, () => executor.states.hold(state));
    for (const index of sublayers) {
      const before = moving;
      moving = await executor.run(index, before);
      executor.states.release(...before);
    }
    if (reads) {
      await executor.states.toHost(moving[0] ?? state);
    }
    executor.states.release(...moving);
  };
  const graph = products(executor.model, states * tokens);
  const session = await createSession(graph, { device, prepack: true });
  const feeds = { value: floatTensor(new Float32Array([0.5]), [1, 1]) };
  const count = sublayers.length * states;
  const times = await race([
    { name: 'evaluation', run: async () => walk(states), count },
    { name: 'alone', run: async () => walk(1), count: sublayers.length },
    { name: 'products', run: async () => session.run(feeds), count },
  ]);
  traffic.bytes = 0;
  await walk(states, false);
  return { ...times, bytes: traffic.bytes / count };
}

/** The block's linear layers as plain matmuls of `rows` rows. */
function products(model: LayeredModel, rows: number): GraphBuilder {
  const graph = new GraphBuilder('products');
  const value = graph.input('value', DataType.FLOAT, [1, 1]);
  const largest = sublayers
    .flatMap((index) => model.sublayer(index).linearLayers)
    .map(({ weight }) => {
      const input = graph.op('Expand', [value, graph.ints([rows, weight.shape[1] ?? 0])]);
      const product = graph.op('Gemm', [input, emitWeight(graph, weight)], { transB: 1 });
      return graph.op('ReduceMax', [product], { keepdims: 0 });
    });
  graph.output('largest', graph.op('Sum', largest), DataType.FLOAT, []);
  return graph;
}

async function main([device, path = '', tokens]: readonly string[]): Promise<void> {
  if (!isDeviceName(device)) throw new Error(`${String(device)} is no device`);
  console.log(JSON.stringify(await measure(device, path, Number(tokens))));
}

void main(process.argv.slice(2));

import { fork } from 'node:child_process';
import process from 'node:process';
import type { DeviceName } from './device';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { Value } from '../onnx/graph-builder';
import { DeviceStates, keepsOutputs } from './states/device-states';
import { floatsIn, outputTensor } from './tensors';

/** Result of running the trial graph on a device. Sent between processes as JSON. */
export interface DeviceTrial {
  /** float32 values that every device must agree on. */
  readonly output: readonly number[];
  /** Time of the fastest run, with the transfer of inputs and outputs. */
  readonly milliseconds: number;
}

const rows = 512;
const width = 512;
const layers = 8;
/** One row in this many is compared. */
const rowStep = 128;
const timedRuns = 3;
/** After this long no further run is timed: the device is slow, or the first run told enough. */
const enoughMilliseconds = 200;

/**
 * Runs matmuls, norms and a softmax on a device, without CPU fallback: operators that the device can't run fail. If
 * hidden states can stay on the device, tests that too.
 */
export async function runDeviceTrial(device: DeviceName): Promise<DeviceTrial> {
  const model = trialGraph().toBytes(() => {
    throw new Error('the trial has no external weights');
  });
  const session = await InferenceSession.create(model, {
    executionProviders: [{ name: device }],
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4,
    extra: {
      session: {
        disable_cpu_ep_fallback: device === 'cpu' ? '0' : '1',
        'intra_op.allow_spinning': '0',
      },
    },
  });
  try {
    const hidden = pseudoRandom(rows * width, 1);
    const feeds = { hidden: new Tensor('float32', hidden, [rows, width]) };
    const given = outputTensor(await session.run(feeds), 'probabilities');
    const output = [...floatsIn(keepsOutputs(device) ? await sentBack(device, given) : given)];
    let milliseconds = Number.POSITIVE_INFINITY;
    const begun = performance.now();
    for (let i = 0; i < timedRuns && performance.now() - begun < enoughMilliseconds; i++) {
      const started = performance.now();
      await session.run(feeds);
      milliseconds = Math.min(milliseconds, performance.now() - started);
    }
    return { output, milliseconds };
  } finally {
    await session.release();
  }
}

/** The numbers by way of the device's memory, divided and joined there as hidden states are. */
async function sentBack(device: DeviceName, tensor: Tensor): Promise<Tensor> {
  const states = new DeviceStates(device);
  try {
    const sent = await states.send(tensor);
    const parts = await states.divide(sent, tensor.dims[0] ?? 1);
    return await states.read(await states.join(parts));
  } finally {
    await states.dispose();
  }
}

function trialGraph(): GraphBuilder {
  const graph = new GraphBuilder('device-trial');
  const weight = graph.floats(pseudoRandom(width * width, 2), [width, width]);
  let x: Value = graph.input('hidden', DataType.FLOAT, [rows, width]);
  for (let layer = 0; layer < layers; layer++) {
    const product = graph.op('MatMul', [x, weight]);
    const square = graph.op('Mul', [product, product]);
    const mean = graph.op('ReduceMean', [square], { axes: [-1], keepdims: 1 });
    const root = graph.op('Sqrt', [graph.op('Add', [mean, graph.scalar(1e-6)])]);
    x = graph.op('Div', [product, root]);
  }
  const slice = graph.op('Slice', [
    graph.op('Softmax', [x], { axis: -1 }),
    graph.ints([0]),
    graph.ints([rows]),
    graph.ints([0]),
    graph.ints([rowStep]),
  ]);
  graph.output('probabilities', slice, DataType.FLOAT, [rows / rowStep, width]);
  return graph;
}

/** Pseudorandom values in (−1, 1), the same on every platform: a linear congruential generator. */
function pseudoRandom(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Message from the probe: the trial, or the reason why there is none. */
export type ProbeMessage =
  | { readonly trial: DeviceTrial }
  | {
      /** Reason, as a sentence. */
      readonly failure: string;
    };

/** Settings of a device probe. */
export interface ProbeOptions {
  /** Path of the bundled worker/probe.ts. */
  readonly script: string;
  readonly timeLimitMilliseconds: number;
}

/** Last characters of the child's output that are looked at after a crash. */
const outputTail = 4000;

/**
 * Tries a device in its own child process, because a faulty driver can crash or hang the process
 * that loads it. Always resolves, after the child has ended.
 */
export async function probeDevice(
  device: DeviceName,
  { script, timeLimitMilliseconds }: ProbeOptions,
): Promise<ProbeMessage> {
  const child = fork(script, [device], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', ORT_DISABLE_TELEMETRY: '1' },
  });
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputTail);
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<ProbeMessage>((resolve) => {
      timer = setTimeout(() => {
        resolve({ failure: `It did not answer within ${timeLimitMilliseconds / 1000} s.` });
      }, timeLimitMilliseconds);
      child.once('message', (message) => {
        resolve(message as ProbeMessage);
      });
      child.once('error', (error) => {
        resolve({ failure: `It could not be tried: ${error.message}.` });
      });
      child.once('close', (code, signal) => {
        resolve({ failure: crashed(signal ?? `exit code ${code}`, output) });
      });
    });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

function crashed(how: string, output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const errorLine = lines.find((line) => line.includes('Error')) ?? lines.at(-1);
  return `Trying it ended with ${how}${errorLine === undefined ? '' : `: ${errorLine.trim()}`}.`;
}

import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';

/** Hidden states of one sequence, float32 [sequence, hidden]. */
export type HiddenState = Float32Array;

/** Joins states into one tensor [batch, length, hiddenSize]; a single one is not copied. */
export function stack(states: readonly HiddenState[], length: number, hiddenSize: number): Tensor {
  const [only] = states;
  if (states.length === 1 && only !== undefined) {
    return new Tensor('float32', only, [1, length, hiddenSize]);
  }
  const size = length * hiddenSize;
  const joined = new Float32Array(states.length * size);
  states.forEach((state, i) => {
    joined.set(state, i * size);
  });
  return new Tensor('float32', joined, [states.length, length, hiddenSize]);
}

/** The float32 values of an output. */
export function floatsOf(outputs: InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const { data } = tensorOf(outputs, name);
  if (!(data instanceof Float32Array)) {
    throw new Error(`output ${name} is not float32`);
  }
  return data;
}

/** The output called `name`. */
export function tensorOf(outputs: InferenceSession.OnnxValueMapType, name: string): Tensor {
  const value = outputs[name];
  return value instanceof Tensor ? value : missingOutput(name);
}

/** Whole numbers as an int64 tensor. */
export function int64Tensor(values: Iterable<number>, shape: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from([...values], BigInt), shape);
}

function missingOutput(name: string): never {
  throw new Error(`the graph has no output named ${name}`);
}

import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ExpertMask, Step } from '../models/layered-model';
import { floatTensor, outputTensor } from './tensors';
import type { HiddenState, Tensors } from './tensors';

/** Input mask that leaves out experts, per state. */
export function maskFeed(
  { input, count }: ExpertMask,
  without: readonly (readonly number[])[],
): Record<string, Tensor> {
  const numbers = new Float32Array(without.length * count);
  without.forEach((experts, i) => {
    for (const expert of experts) {
      numbers[i * count + expert] = Number.NEGATIVE_INFINITY;
    }
  });
  return { [input]: floatTensor(numbers, [without.length, count]) };
}

/** State after a step that computes nothing. */
export function keepState(step: Step, { values, side }: HiddenState): HiddenState {
  return { values: valuesAfter(step, {}, values, side), side };
}

/** Values of the state after a step. */
export function valuesAfter(
  { next }: Step,
  outputs: Tensors,
  before: Tensors,
  side: Tensors,
): Tensors {
  return Object.fromEntries(
    Object.entries(next).map(([name, source]) => [
      name,
      outputs[source] ?? before[source] ?? side[source] ?? throwMissingInput(source),
    ]),
  );
}

/** Inputs of a part. */
export function pick(names: readonly string[], values: Tensors): Tensors {
  return Object.fromEntries(names.map((name) => [name, values[name] ?? throwMissingInput(name)]));
}

/** Outputs by their names. */
export function collectTensors(
  outputs: InferenceSession.OnnxValueMapType,
  names: readonly string[],
): Tensors {
  return Object.fromEntries(names.map((name) => [name, outputTensor(outputs, name)]));
}

/** @throws Error because a part's inputs are incomplete */
export function throwMissingInput(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}

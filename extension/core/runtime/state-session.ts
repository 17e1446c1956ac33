import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { floatTensor } from './tensors';
import type { Tensors } from './tensors';

/**
 * Double-buffered float32 state tensors: a run reads one copy and writes the other, so nothing is copied or allocated,
 * and a failed run leaves the state intact.
 */
export class State {
  private readonly pairs = new Map<string, { current: Tensor; spare: Tensor }>();

  public constructor(initial: Tensors) {
    for (const [name, tensor] of Object.entries(initial)) {
      this.add(name, tensor);
    }
  }

  public add(name: string, current: Tensor): void {
    const spare = floatTensor(new Float32Array(current.size), current.dims);
    this.pairs.set(name, { current, spare });
  }

  public get names(): string[] {
    return [...this.pairs.keys()];
  }

  /** The numbers of a tensor; valid until the second run that writes it. */
  public of(name: string): Tensor {
    return this.pair(name).current;
  }

  /** Sets all elements of a tensor. */
  public fill(name: string, value: number): void {
    floatData(this.pair(name).current).fill(value);
  }

  /** Buffer to which a run writes the tensor. */
  public spareTensor(name: string): Tensor {
    return this.pair(name).spare;
  }

  /** Makes the outputs of the last run the current values of these tensors. */
  public accept(names: readonly string[]): void {
    for (const name of names) {
      const { current, spare } = this.pair(name);
      this.pairs.set(name, { current: spare, spare: current });
    }
  }

  private pair(name: string): { current: Tensor; spare: Tensor } {
    const pair = this.pairs.get(name);
    if (pair === undefined) {
      throw new Error(`there is no state named ${name}`);
    }
    return pair;
  }
}

function floatData({ data }: Tensor): Float32Array {
  if (data instanceof Float32Array) {
    return data;
  }
  throw new Error('state is float32');
}

/**
 * Runs a graph that reads the state and writes a new one; `nextName` returns the name of the
 * output. The state remains unchanged until the new one is accepted.
 */
export async function runStep(
  session: InferenceSession,
  feeds: Tensors,
  state: State,
  written: readonly string[],
  wanted: readonly string[],
  nextName: (name: string) => string,
): Promise<InferenceSession.OnnxValueMapType> {
  const read = session.inputNames.flatMap((name) =>
    name in feeds ? [] : [[name, state.of(name)] as const],
  );
  const fetches = {
    ...Object.fromEntries(written.map((name) => [nextName(name), state.spareTensor(name)])),
    ...Object.fromEntries(wanted.map((name) => [name, null])),
  };
  return session.run({ ...feeds, ...Object.fromEntries(read) }, fetches);
}

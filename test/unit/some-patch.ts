import { join } from 'node:path';
import type { TensorData } from '../../extension/core/checkpoints/lazy-tensor';
import { storeTensors } from '../../extension/core/models/encodings/store-encodings';
import { patchTensorShapes } from '../../extension/core/models/patch/symbolic-patch';
import type { SymbolicPatch } from '../../extension/core/models/patch/symbolic-patch';

/** Makes patches of numbers from a formula for a stream of `hidden`; `up` times those of its last layer. */
export function patchMaker(
  folder: string,
): (hidden: number, up?: number) => Promise<SymbolicPatch> {
  const made = new Map<string, Promise<SymbolicPatch>>();
  const make = async (hidden: number, up: number): Promise<SymbolicPatch> => {
    const shapes = Object.entries(patchTensorShapes(hidden));
    const stored = await storeTensors(
      join(folder, `patch-${made.size}.safetensors`),
      shapes.map(([name, shape], t) => {
        const length = shape.reduce((product, n) => product * n, 1);
        const scale = name.startsWith('up.') ? up : 1;
        const numbers = Float32Array.from(
          { length },
          (_, i) => (scale * Math.sin(i * 1.7 + t)) / Math.sqrt(shape.at(-1) ?? 1),
        );
        const data: TensorData = { dtype: 'F32', shape, bytes: new Uint8Array(numbers.buffer) };
        return { name, data };
      }),
    );
    return {
      program: '(push (add (connect (add (next_port (connect identity))))))',
      graph: {
        nodes: [0, 1, 3],
        edges: [
          { id: 2, port: 0, ends: [0, 1] },
          { id: 4, port: 1, ends: [0, 3] },
        ],
        nextId: 5,
      },
      tensors: Object.fromEntries(stored),
    };
  };
  return async (hidden, up = 1) => {
    const key = `${hidden} ${up}`;
    const known = made.get(key) ?? make(hidden, up);
    made.set(key, known);
    return known;
  };
}

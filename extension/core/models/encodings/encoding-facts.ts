import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { MatrixEncoding, MpoEncoding } from '../matrix-encoding';

type Shaped = Pick<LazyTensor, 'shape'>;

/** Encoding with each tensor replaced. `part` identifies it: `weight`, `left.quants`, `core.2`, … */
export function mapTensors<T, U>(
  form: MatrixEncoding<T>,
  map: (tensor: T, part: string) => U,
): MatrixEncoding<U> {
  switch (form.kind) {
    case 'dense':
      return { ...form, weight: map(form.weight, 'weight') };
    case 'low-rank': {
      const below = (side: string) => (tensor: T, part: string) => map(tensor, `${side}.${part}`);
      return {
        ...form,
        left: mapTensors(form.left, below('left')),
        right: mapTensors(form.right, below('right')),
      };
    }
    case 'mpo': {
      const { inputScale, ...rest } = form;
      return {
        ...rest,
        cores: form.cores.map((core, site) => map(core, `core.${site}`)),
        ...(inputScale === undefined ? {} : { inputScale: map(inputScale, 'input_scale') }),
      };
    }
    case 'group-quantized': {
      const { zeros, ...rest } = form;
      return {
        ...rest,
        quants: map(form.quants, 'quants'),
        scales: map(form.scales, 'scales'),
        ...(zeros === undefined ? {} : { zeros: map(zeros, 'zeros') }),
      };
    }
    case 'int8': {
      const { inputScale, ...rest } = form;
      return {
        ...rest,
        quants: map(form.quants, 'quants'),
        scales: map(form.scales, 'scales'),
        ...(inputScale === undefined ? {} : { inputScale: map(inputScale, 'input_scale') }),
      };
    }
  }
}

/** Its tensors, in a fixed order. */
export function encodingTensors<T>(form: MatrixEncoding<T>): T[] {
  const tensors: T[] = [];
  mapTensors(form, (tensor) => tensors.push(tensor));
  return tensors;
}

/** Sizes of y and x in y = W·x. */
export function encodingSizes(form: MatrixEncoding<Shaped>): {
  readonly out: number;
  readonly in: number;
} {
  switch (form.kind) {
    case 'dense': {
      const [out = 0, input = 1] = form.weight.shape;
      return { out, in: input };
    }
    case 'low-rank':
      return { out: encodingSizes(form.left).out, in: encodingSizes(form.right).in };
    case 'mpo':
      return { out: elementCount(form.sites.out), in: elementCount(form.sites.in) };
    case 'group-quantized':
      return { out: form.out, in: form.in };
    case 'int8': {
      const [input = 0, out = 0] = form.quants.shape;
      return { out, in: input };
    }
  }
}

/**
 * Number of weights that each tensor of an encoding represents: one per quantized value, even if
 * several share a byte; 0 for scales and zero points.
 */
export function encodingWeights<T extends Shaped>(form: MatrixEncoding<T>): Map<T, number> {
  switch (form.kind) {
    case 'low-rank':
      return new Map([...encodingWeights(form.left), ...encodingWeights(form.right)]);
    case 'group-quantized':
    case 'int8': {
      const { out, in: input } = encodingSizes(form);
      return new Map(
        encodingTensors<T>(form).map((tensor) => [
          tensor,
          tensor === form.quants ? out * input : 0,
        ]),
      );
    }
    case 'dense':
    case 'mpo':
      return new Map(
        encodingTensors<T>(form).map((tensor) => [tensor, elementCount(tensor.shape)]),
      );
  }
}

/**
 * True if its matmuls are slow unless weights are prepacked, even for one use. Weights of an int8
 * copy are computed for the session: prepacking them would copy them three times.
 */
export function needsRepacking(form: MatrixEncoding<unknown>): boolean {
  return form.kind === 'low-rank'
    ? needsRepacking(form.left) || needsRepacking(form.right)
    : form.kind === 'group-quantized' || (form.kind === 'int8' && form.run !== 'symmetric');
}

/** Number of weights. */
export function encodingParameters(form: MatrixEncoding<Shaped>): number {
  return [...encodingWeights(form).values()].reduce((sum, count) => sum + count, 0);
}

/**
 * Greatest max |a − b| / max |a| between a model in pieces and as a whole, if matrices round their inputs to 8 bits: a last
 * bit may decide over a step. Measured on written and pruned fixtures: 0 between folders, at most 5e-4 between ONNX graphs.
 */
export const eightBitError = 1e-2;

/**
 * True if activations are rounded to 8 bits, which ONNX Runtime also does for integers in blocks.
 */
export function roundsInputs(form: MatrixEncoding<unknown>): boolean {
  return form.kind === 'low-rank'
    ? roundsInputs(form.left) || roundsInputs(form.right)
    : form.kind === 'int8' || form.kind === 'group-quantized';
}

/** Multiply-adds for one row, each counted as two. */
export function encodingFlops(form: MatrixEncoding<Shaped>): number {
  if (form.kind === 'low-rank') {
    return encodingFlops(form.left) + encodingFlops(form.right);
  }
  if (form.kind === 'mpo' && form.run === 'chained') {
    return chainedFlops(form);
  }
  const { out, in: input } = encodingSizes(form);
  return 2 * out * input;
}

/** Σ over sites of o₁…o_{k−1} · i_{k+1}…i_N · χ_{k−1}·i_k·o_k·χ_k products. */
function chainedFlops({ sites, bonds }: MpoEncoding<Shaped>): number {
  return sites.out.reduce((sum, out, k) => {
    const done = elementCount(sites.out.slice(0, k));
    const rest = elementCount(sites.in.slice(k));
    return sum + 2 * done * rest * out * (bonds[k - 1] ?? 1) * (bonds[k] ?? 1);
  }, 0);
}

/** Bytes that the weights take while they run: floats are widened to float32, cores that are contracted become a matrix. */
export function encodingMemory(form: MatrixEncoding<Pick<LazyTensor, 'shape' | 'length'>>): number {
  switch (form.kind) {
    case 'dense':
      return elementCount(form.weight.shape) * Float32Array.BYTES_PER_ELEMENT;
    case 'low-rank':
      return encodingMemory(form.left) + encodingMemory(form.right);
    case 'mpo': {
      const { out, in: input } = encodingSizes(form);
      const numbers = form.run === 'contracted' ? out * input : encodingParameters(form);
      return numbers * Float32Array.BYTES_PER_ELEMENT;
    }
    case 'group-quantized':
    case 'int8':
      return encodingTensors(form).reduce((sum, { length }) => sum + length, 0);
  }
}

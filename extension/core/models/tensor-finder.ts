import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';
import type { Architecture, BranchNorms, Projection } from './architecture';
import type { Linear } from './linear';
import type { Branch, Norm } from './norm';

/** Looks tensors up, checks them, and remembers which were never asked for. */
export class TensorFinder {
  private readonly left: Set<string>;

  public constructor(
    private readonly checkpoint: Checkpoint,
    private readonly architecture: Pick<Architecture, 'norm' | 'transposed'>,
  ) {
    this.left = new Set(checkpoint.tensors.keys());
  }

  public has(name: string): boolean {
    return this.checkpoint.tensors.has(name);
  }

  /** Number of rows of a linear layer's weight; 0 where it lacks. */
  public rows(name: string): number {
    return this.checkpoint.tensors.get(`${name}.weight`)?.shape[0] ?? 0;
  }

  public take(name: string, shape: readonly number[]): LazyTensor {
    const found = this.takeIfPresent(name, shape);
    if (found === undefined) {
      throw new UserError('The checkpoint lacks this tensor.', {
        file: this.checkpoint.entry,
        field: name,
        remedy: 'Weights and configuration do not belong together: download the model again.',
      });
    }
    return found;
  }

  public takeIfPresent(name: string, shape: readonly number[]): LazyTensor | undefined {
    const tensor = this.checkpoint.tensors.get(name);
    if (tensor === undefined) {
      return undefined;
    }
    this.left.delete(name);
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        `Its shape is [${tensor.shape.join(', ')}], but the configuration asks for [${shape.join(', ')}].`,
        {
          file: tensor.file,
          field: name,
          remedy: 'Weights and configuration do not belong together: download the model again.',
        },
      );
    }
    return tensor;
  }

  /** The parts of a tensor along its first axis, each named after it and its number. */
  public slices(name: string, shape: readonly number[]): LazyTensor[] {
    const whole = this.take(name, shape);
    const [count = 1, ...rest] = shape;
    const length = whole.length / count;
    return Array.from({ length: count }, (_, i) => ({
      ...whole,
      name: `${name}:${i}`,
      sliceOf: name,
      shape: rest,
      offset: whole.offset + i * length,
      length,
    }));
  }

  public linear(name: string, out: number, input: number, bias: boolean): Linear {
    const transposed = this.architecture.transposed ?? false;
    const weight = this.take(`${name}.weight`, transposed ? [input, out] : [out, input]);
    return {
      weight,
      ...(bias ? { bias: this.take(`${name}.bias`, [out]) } : {}),
      ...(transposed ? { transposed } : {}),
    };
  }

  public norm(name: string, ...shape: readonly number[]): Norm {
    // Names of the first BERT checkpoints.
    const [gain, shift] = this.has(`${name}.gamma`) ? ['gamma', 'beta'] : ['weight', 'bias'];
    const weight = this.take(`${name}.${gain}`, shape);
    return this.architecture.norm === 'layer'
      ? { weight, bias: this.take(`${name}.${shift}`, shape) }
      : { weight };
  }

  /** The norms of a branch. */
  public branch(prefix: string, { norm, postNorm, sumNorm }: BranchNorms, width: number): Branch {
    return {
      ...(norm === undefined ? {} : { norm: this.norm(`${prefix}${norm}`, width) }),
      ...(postNorm === undefined ? {} : { postNorm: this.norm(`${prefix}${postNorm}`, width) }),
      ...(sumNorm === undefined ? {} : { sumNorm: this.norm(`${prefix}${sumNorm}`, width) }),
    };
  }

  public projections(
    prefix: string,
    projection: Projection,
    widths: readonly number[],
    input: number,
    bias: boolean,
  ): Linear[] {
    if (projection.kind === 'fused') {
      const out = widths.reduce((sum, width) => sum + width, 0);
      return [this.linear(`${prefix}${projection.name}`, out, input, bias)];
    }
    return projection.names.map((name, i) =>
      this.linear(`${prefix}${name}`, widths[i] ?? 0, input, bias),
    );
  }

  public unused(): string[] {
    return [...this.left];
  }
}

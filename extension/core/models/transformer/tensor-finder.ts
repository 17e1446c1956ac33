import { elementCount, tensorPart } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { Architecture, Projection } from './architecture';
import { checkEncoding } from '../encodings/check-encoding';
import { encodingTensors } from '../encodings/encoding-facts';
import type { CompressedEncodings, EncodingSpec } from '../encodings/encoding-spec';
import { findEncoding } from '../encodings/stored-encodings';
import type { Linear } from '../parts/linear';
import { embeddingAndHeadPlaces } from '../matrix-encoding';
import type { MatrixEncoding, EmbeddingOrHeadPlace } from '../matrix-encoding';
import type { Norm } from '../parts/norm';
import { checkEmbeddingOrHeadEncoding } from './embedding-and-head';
import { say } from '../../message';

const mismatch = say`The weights don't match the configuration: download the model again.`;

/** Encodings of compressed linear layers, as described in config.json. */
export interface DescribedEncodings {
  /** The configuration, for errors. */
  readonly file: string;
  /** By the names of their weights. */
  readonly byWeight: ReadonlyMap<string, { readonly field: string; readonly spec: EncodingSpec }>;
}

const noEncodings: DescribedEncodings = { file: '', byWeight: new Map() };

/**
 * Encodings listed in `espalier.compressed`. The tensor names of block N start with `placeOf(N)`.
 */
export function describedEncodings(
  compressed: CompressedEncodings = {},
  placeOf: (block: string) => string,
  file: string,
): DescribedEncodings {
  const entries = Object.entries(compressed).flatMap(([sublayer, forms]) =>
    Object.entries(forms).map(([place, spec]) => {
      const block = /^block\.(\d+)\./.exec(sublayer)?.[1] ?? sublayer;
      const field = `espalier.compressed.${sublayer}.${place}`;
      const prefix = isEmbeddingOrHead(sublayer) ? '' : placeOf(block);
      return [`${prefix}${place}.weight`, { field, spec }] as const;
    }),
  );
  return { file, byWeight: new Map(entries) };
}

/**
 * True if a key of `espalier.compressed` refers to the embedding or head, whose names are complete.
 */
function isEmbeddingOrHead(key: string): boolean {
  return embeddingAndHeadPlaces.some((place) => place === key);
}

/** Returns a name and its alternative spellings in checkpoints. */
export const nameSpellings = (
  { aliases = {} }: Pick<Architecture, 'aliases'>,
  name: string,
): string[] => [name, ...Object.entries(aliases).map(([part, other]) => name.replace(part, other))];

/** Looks tensors up, checks them, and remembers which were never asked for. */
export class TensorFinder {
  private readonly left: Set<string>;
  private readonly unusedEncodings: Set<string>;

  public constructor(
    private readonly checkpoint: Checkpoint,
    private readonly architecture: Pick<Architecture, 'norm' | 'transposed' | 'aliases'>,
    private readonly forms: DescribedEncodings = noEncodings,
    /** In how many groups a convolution of width 1 that is a linear layer divides its channels. */
    private readonly groupsOf: (name: string) => number | undefined = () => undefined,
  ) {
    this.left = new Set(checkpoint.tensors.keys());
    this.unusedEncodings = new Set(forms.byWeight.keys());
  }

  public has(name: string): boolean {
    return this.checkpoint.tensors.has(this.storedName(name));
  }

  /** True if the checkpoint has a linear layer of this name, in any encoding. */
  public hasMatrix(name: string): boolean {
    return this.has(`${name}.weight`) || this.forms.byWeight.has(this.storedName(`${name}.weight`));
  }

  /** Number of rows of a linear layer's weight; 0 where it lacks. */
  public rows(name: string): number {
    const [weight, bias] = ['weight', 'bias'].map((part) =>
      this.checkpoint.tensors.get(this.storedName(`${name}.${part}`)),
    );
    return (weight ?? bias)?.shape[0] ?? 0;
  }

  /** Number of columns of a linear layer's weight; 0 where it lacks. */
  public columns(name: string): number {
    return this.checkpoint.tensors.get(this.storedName(`${name}.weight`))?.shape[1] ?? 0;
  }

  public take(name: string, shape: readonly number[]): LazyTensor {
    return this.takeIfPresent(name, shape) ?? this.lacks(name);
  }

  public takeIfPresent(name: string, shape: readonly number[]): LazyTensor | undefined {
    const stored = this.storedName(name);
    const tensor = this.checkpoint.tensors.get(stored);
    if (tensor === undefined) {
      return undefined;
    }
    this.left.delete(stored);
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        'shape-mismatch',
        say`It has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}] by config.json.`,
        { file: tensor.file, field: stored, remedy: mismatch },
      );
    }
    return tensor;
  }

  /** Like {@link take}. GGUF files may drop or add dimensions of size 1, or omit a row. */
  public reshaped(name: string, shape: readonly number[]): LazyTensor {
    const stored = this.checkpoint.tensors.get(this.storedName(name));
    const isSame = stored !== undefined && elementCount(stored.shape) === elementCount(shape);
    return { ...this.take(name, isSame ? stored.shape : shape), shape };
  }

  /** A table [rows, width] with any number of rows and columns. */
  public table(name: string): LazyTensor {
    const { shape } = this.checkpoint.tensors.get(`${name}.weight`) ?? this.lacks(`${name}.weight`);
    return this.take(`${name}.weight`, shape);
  }

  /**
   * The parts of a tensor along its first axis, each named after it and its number.
   * @param flat whether the tensor has the first two axes as one
   */
  public slices(name: string, shape: readonly number[], flat = false): LazyTensor[] {
    const [count = 1, rows = 1, ...rest] = shape;
    const whole = { ...this.take(name, flat ? [count * rows, ...rest] : shape), shape };
    return Array.from({ length: count }, (_, i) => tensorPart(whole, i));
  }

  /** A weight [out, in] of the embedding or head. */
  public embeddingAndHead(
    place: EmbeddingOrHeadPlace,
    name: string,
    out: number,
    input: number,
  ): Linear {
    const id = this.storedName(`${name}.weight`);
    const sizes = { out, input, shape: [out, input] };
    const compressed = this.compressed(id, sizes, (form, field, file) => {
      checkEmbeddingOrHeadEncoding(form, { id: field, place, out, in: input }, file);
    });
    return compressed ?? { weight: this.take(id, [out, input]) };
  }

  public linear(name: string, out: number, input: number, bias: boolean): Linear {
    const groups = this.groupsOf(name);
    if (groups !== undefined) {
      return {
        weight: this.take(`${name}.weight`, [out, input / groups, 1]),
        bias: this.take(`${name}.bias`, [out]),
        groups,
      };
    }
    const transposed = this.architecture.transposed ?? false;
    const sizes = { out, input, shape: transposed ? [input, out] : [out, input] };
    const id = this.storedName(`${name}.weight`);
    const compressed = this.compressed(id, sizes, (form, field, file) => {
      checkEncoding(form, { id: field, out, in: input }, file);
    });
    const weight =
      compressed?.weight ??
      (out === 1 ? this.reshaped(id, sizes.shape) : this.take(id, sizes.shape));
    return {
      weight,
      ...compressed,
      ...(bias ? { bias: this.take(`${name}.bias`, [out]) } : {}),
      ...(transposed ? { transposed } : {}),
    };
  }

  public norm(name: string, ...shape: readonly number[]): Norm {
    const { norm } = this.architecture;
    if (norm.endsWith('without-weight')) {
      return {};
    }
    // Names of the first BERT checkpoints.
    const [gain, shift] = this.has(`${name}.gamma`) ? ['gamma', 'beta'] : ['weight', 'bias'];
    const weight = this.take(`${name}.${gain}`, shape);
    return norm === 'layer' || norm === 'layer-offset'
      ? { weight, bias: this.take(`${name}.${shift}`, shape) }
      : { weight };
  }

  /** A norm without bias that has a gain for each head: one tensor [heads, width], or `<name>.norms.<head>` for each. */
  public headNorm(name: string, heads: number, width: number): Norm {
    const weight = this.takeIfPresent(`${name}.weight`, [heads, width]);
    return weight === undefined
      ? {
          byHead: Array.from({ length: heads }, (_, head) =>
            this.take(`${name}.norms.${head}.weight`, [width]),
          ),
        }
      : { weight };
  }

  public projections(
    prefix: string,
    projection: Projection,
    widths: readonly number[],
    input: number,
    biases: readonly boolean[],
  ): Linear[] {
    if ('fused' in projection) {
      const out = widths.reduce((sum, width) => sum + width, 0);
      return [this.linear(`${prefix}${projection.fused}`, out, input, biases[0] ?? false)];
    }
    return projection.map((name, i) =>
      this.linear(`${prefix}${name}`, widths[i] ?? 0, input, biases[i] ?? false),
    );
  }

  /** Name of the tensor in the checkpoint, which may be an alternative spelling. */
  private storedName(name: string): string {
    const isStored = (one: string): boolean =>
      this.checkpoint.tensors.has(one) || this.forms.byWeight.has(one);
    return nameSpellings(this.architecture, name).find(isStored) ?? name;
  }

  public unused(): string[] {
    return [...this.left];
  }

  /** @throws UserError if a form is described of a layer that nobody asked for. */
  public requireAllEncodings(): void {
    const [weight] = this.unusedEncodings;
    if (weight !== undefined) {
      throw new UserError('linear-layer-missing', say`The model has no linear layer here.`, {
        file: this.forms.file,
        field: this.forms.byWeight.get(weight)?.field ?? weight,
        remedy: mismatch,
      });
    }
  }

  /** Encoding of the weight `name` if it is compressed. No tensor then has this name. */
  private compressed(
    name: string,
    { out, input, shape }: { out: number; input: number; shape: readonly number[] },
    check: (form: MatrixEncoding, field: string, file: string) => void,
  ): Required<Pick<Linear, 'weight' | 'encoding'>> | undefined {
    const described = this.forms.byWeight.get(name);
    if (described === undefined) {
      return undefined;
    }
    const { field, spec } = described;
    this.unusedEncodings.delete(name);
    const encoding = findEncoding(name, spec, { out, in: input }, (part) => {
      const tensor = this.checkpoint.tensors.get(part) ?? this.lacks(part);
      this.left.delete(part);
      return tensor;
    });
    check(encoding, field, this.forms.file);
    const file = encodingTensors(encoding)[0]?.file ?? this.checkpoint.entry;
    return { weight: { name, dtype: 'F32', shape, file, offset: 0, length: 0 }, encoding };
  }

  private lacks(name: string): never {
    throw new UserError('tensor-missing', say`The checkpoint lacks this tensor.`, {
      file: this.checkpoint.entry,
      field: name,
      remedy: mismatch,
    });
  }
}

import { isDerivedInput } from '../../models/example';
import type { Example, ExampleValue } from '../../models/model-input';
import type { InputPort } from '../../models/layered-model';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { maxArrayBytes } from '../npy';
import { fillArray, isArrayDType, isFloat } from '../../checkpoints/numeric-array';
import { seededRandom, standardNormal } from '../random';
import type { Random } from '../random';
import { imageForm, takesSamples } from './input-kinds';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Settings of random examples. */
export interface RandomSettings {
  readonly count: number;
  /** Number of examples generated first and skipped. */
  readonly after: number;
  readonly seed: number;
  /** Size of sequence and time axes; for sounds, in samples per frame. */
  readonly length: number;
  /** Exclusive upper bounds of integers by input name; {@link defaultBound} for others. */
  readonly bounds: Readonly<Record<string, number>>;
}

const defaultBound = 100;
/** Default edge of images in pixels. */
const defaultEdge = 224;
/** Maximum number of audio samples: one second at 16 kHz. */
const maxSamples = 16_000;
/** Default size of unknown axes. */
const defaultSize = 8;

/** Random values for every input that can't be derived; the warnings list assumed sizes. */
export function randomExamples(
  ports: readonly InputPort[],
  settings: RandomSettings,
  file: string,
): { given: Example[]; warnings: Message[] } {
  const random = seededRandom(settings.seed);
  const free = ports.filter((port) => !isDerivedInput(port));
  const sizes = new Map(free.map((port) => [port.name, portShape(port, settings.length, file)]));
  const elements = [...sizes.values()].reduce((sum, dims) => sum + elementCount(dims), 0);
  const count = settings.after + settings.count;
  if (elements * count * 8 > maxArrayBytes) {
    throw new UserError(
      'random-examples-too-large',
      say`${counted(count, 'example')} of ${elements} numbers do not fit in memory.`,
      { field: 'count', remedy: say`Choose fewer examples or a shorter length.` },
    );
  }
  const given = Array.from({ length: count }, () =>
    Object.fromEntries(
      free.map((port) => [
        port.name,
        randomValue(port, sizes.get(port.name) ?? [], settings.bounds, random, file),
      ]),
    ),
  );
  return {
    given: given.slice(settings.after),
    warnings: [randomWarning(settings.seed, free, sizes)],
  };
}

function randomWarning(
  seed: number,
  ports: readonly InputPort[],
  sizes: ReadonlyMap<string, readonly number[]>,
): Message {
  const shapes = ports.map(({ name }) => `${name} [${sizes.get(name)?.join(', ') ?? ''}]`);
  return say`The inputs are random numbers (seed ${seed}): ${shapes.join(', ')}. Results on them say little about real use. Choose real examples: a .npz file, or a folder of images or .wav files.`;
}

/** Shape of an input, with a default for each dynamic axis. */
function portShape(port: InputPort, length: number, file: string): number[] {
  if (port.shape === undefined) {
    throw new UserError(
      'input-shape-unknown',
      say`The model doesn't define the shape of this input.`,
      { file, field: port.name, remedy: say`Choose examples in a .npz file.` },
    );
  }
  const image = imageForm(port);
  const imageDims =
    image?.layout === 'NCHW'
      ? [1, image.channels, image.height ?? defaultEdge, image.width ?? defaultEdge]
      : image === undefined
        ? undefined
        : [1, image.height ?? defaultEdge, image.width ?? defaultEdge, image.channels];
  return port.shape.map((size, axis) => {
    if (typeof size === 'number') {
      return size;
    }
    return axis === 1 && takesSamples(port)
      ? Math.min(maxSamples, length * (port.leastSamples ?? maxSamples))
      : (imageDims?.[axis] ?? namedSize(size, axis, port, length));
  });
}

function namedSize(name: string, axis: number, port: InputPort, length: number): number {
  if (axis === 0 || /batch/i.test(name)) {
    return 1;
  }
  const runsAlong = /seq|length|token|time|frame|step/i.test(name);
  const isSecond = axis === 1 && port.shape?.length === (isFloat(port.dtype) ? 3 : 2);
  return runsAlong || isSecond ? length : defaultSize;
}

function randomValue(
  { name, dtype }: InputPort,
  dims: readonly number[],
  bounds: Readonly<Record<string, number>>,
  random: Random,
  file: string,
): ExampleValue {
  if (!isArrayDType(dtype)) {
    throw new UserError(
      'random-dtype-unsupported',
      say`Random values of dtype ${dtype} can't be generated.`,
      { file, field: name, remedy: say`Choose examples in a .npz file.` },
    );
  }
  const bound = Math.min(bounds[name] ?? defaultBound, largestBounds[dtype] ?? Infinity);
  const draw = isFloat(dtype)
    ? (): number => standardNormal(random)
    : (): number => Math.floor(random() * bound);
  return { dtype, dims, data: fillArray(dtype, elementCount(dims), draw) };
}

/** Exclusive upper bounds of small integer types. */
const largestBounds: Readonly<Record<string, number>> = {
  BOOL: 2,
  I8: 2 ** 7,
  U8: 2 ** 8,
  I16: 2 ** 15,
  U16: 2 ** 16,
};

import { filled, follows } from '../../models/example';
import { createHash } from 'node:crypto';
import type { Example } from '../../models/model-input';
import type { InputPort } from '../../models/layered-model';
import { UserError } from '../../user-error';
import type { CalibrationSummary } from '../calibration';
import { choose, seededRandom } from '../random';
import { readExamples } from './example-files';
import type { GivenValues } from './given-examples';
import { checkDims, fitToPort } from './fit-to-port';
import { positions } from './input-kinds';
import { randomExamples } from './random-examples';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Which examples a model is to be run on. */
export interface ExamplesRequest {
  /** A .npy or .npz file, or a folder of images or such files; random numbers when absent. */
  readonly file?: string;
  /** Most examples; fewer are taken where there are no more. */
  readonly count: number;
  /** So many, which the same request without this is for, are left out; perhaps none are left. */
  readonly after?: number;
  /** Seed of the choice among more examples, and of random numbers. */
  readonly seed: number;
  /** Positions of random sequences. */
  readonly length?: number;
  /** What random whole numbers stay below, by the name of the input. */
  readonly bounds?: Readonly<Record<string, number>>;
}

/** Examples of all inputs of a model. */
export interface LoadedExamples {
  readonly examples: readonly Example[];
  /**
   * `length`: positions of the longest example, 1 for inputs without a sequence axis; `tokens`: those
   * of all. The fingerprint is over the names, dtypes, sizes and bytes of all values.
   */
  readonly summary: CalibrationSummary;
  /** What to tell the user about them. */
  readonly warnings: readonly Message[];
}

const defaultLength = 32;

/**
 * Loads examples of a model's inputs from files, or makes random ones. Masks, positions and caches
 * that are not given follow from the rest; every other input must be there.
 * @param modelFolder where the model lies, with its preprocessor_config.json if it takes images
 * @throws UserError naming the file, the input and what to do.
 */
export async function loadExamples(
  request: ExamplesRequest,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<LoadedExamples> {
  const { file, count, after = 0, seed, length = defaultLength, bounds = {} } = request;
  for (const [field, size] of Object.entries({ count, length })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError(say`${size} is not an integer of at least 1.`, {
        field,
        remedy: undefined,
      });
    }
  }
  const { given, warnings } =
    file === undefined
      ? randomExamples(ports, { count, after, seed, length, bounds }, modelFolder)
      : await fileExamples(file, request, ports, modelFolder);
  const examples = given.map((present) => complete(present, ports, file ?? modelFolder));
  const main = (
    ports.find(({ transcript }) => transcript !== undefined) ?? ports.find((port) => !follows(port))
  )?.name;
  const lengths = examples.map(({ [main ?? '']: value }) =>
    value === undefined ? 1 : positions(value),
  );
  return {
    examples,
    summary: {
      source: file ?? `random (seed ${seed})`,
      sequences: examples.length,
      length: lengths.reduce((most, size) => Math.max(most, size), 0),
      tokens: lengths.reduce((sum, size) => sum + size, 0),
      fingerprint: fingerprintExamples(examples),
    },
    warnings,
  };
}

async function fileExamples(
  file: string,
  { count, after = 0, seed }: ExamplesRequest,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<{ given: Example[]; warnings: readonly Message[] }> {
  const random = seededRandom(seed);
  const { examples, available, warnings } = await readExamples(
    file,
    (size) => choose(count, size, random, after),
    ports,
    modelFolder,
  );
  if (examples.length === 0 && after === 0) {
    throw new UserError(say`There are no examples in it.`, {
      file,
      remedy: say`Choose another file or folder.`,
    });
  }
  const few =
    available < count && after === 0
      ? [say`${file} has ${counted(available, 'example')}; ${count} were asked for.`]
      : [];
  return {
    given: examples.map((values) => fitAll(values, ports)),
    warnings: [...warnings, ...few],
  };
}

/** The values of one example as the model takes them. */
function fitAll(values: GivenValues, ports: readonly InputPort[]): Example {
  return Object.fromEntries(
    ports.flatMap((port) => {
      const value = values.get(port.name);
      return value === undefined ? [] : [[port.name, fitToPort(value.array, port, value.file)]];
    }),
  );
}

/** Adds the inputs that follow from those that are there. */
function complete(present: Example, ports: readonly InputPort[], file: string): Example {
  const given = ports.filter(({ name }) => present[name] !== undefined);
  // What is missing is as long as the first input that does not follow itself.
  const main = present[(given.find((port) => !follows(port)) ?? given[0])?.name ?? ''];
  return Object.fromEntries(
    ports.map((port) => {
      const value =
        present[port.name] ??
        filled(port, main?.dims[0] ?? 1, main === undefined ? 1 : positions(main));
      if (value === undefined) {
        throw new UserError(say`This input of the model is missing.`, {
          file,
          field: port.name,
          remedy: say`Save all inputs with numpy.savez: one array for each, named after it.`,
        });
      }
      checkDims(value, port, { file, field: port.name });
      return [port.name, value];
    }),
  );
}

/** SHA-256 (hex) over the names, dtypes, sizes and bytes of all values. */
export function fingerprintExamples(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  for (const example of examples) {
    for (const [name, { dtype, dims, data }] of Object.entries(example).sort(([a], [b]) =>
      a < b ? -1 : 1,
    )) {
      hash.update(`${JSON.stringify(name)} ${dtype} [${dims.join(', ')}]\n`);
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  }
  return hash.digest('hex');
}

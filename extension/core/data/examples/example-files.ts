import { isDerivedInput, takesRecordings } from '../../models/example';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { InputPort } from '../../models/layered-model';
import { UserError, inFile, pathMissing } from '../../user-error';
import { loadSoundPreprocessor } from '../audio/preprocess';
import { readWav } from '../audio/wav';
import { readImage } from '../image/decode-image';
import { loadImagePreprocessor } from '../image/preprocess';
import { listFiles } from '../list-files';
import { readNpy } from '../npy';
import { readNpz } from '../npz';
import type { NumericArray } from '../../checkpoints/numeric-array';
import type { ChooseExamples, GivenExamples, GivenValues } from './given-examples';
import { imageForm, takesSamples } from './input-kinds';
import { holdsRecordings, readRecordings } from './recordings';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Kinds of files in a folder of examples. A folder may have only one kind. */
const extensions = {
  images: new Set(['.png', '.jpg', '.jpeg']),
  sounds: new Set(['.wav']),
  arrays: new Set(['.npy', '.npz']),
} as const;
type FileKind = keyof typeof extensions;

/**
 * Reads examples from a .npy or .npz file, or from a folder of images, sounds or array files.
 * @throws UserError naming the file and the input.
 */
export async function readExamples(
  path: string,
  selectExamples: ChooseExamples,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<GivenExamples> {
  const found = await stat(path).catch(() => {
    throw pathMissing(path);
  });
  if (takesRecordings({ inputs: ports }) && (await holdsRecordings(path))) {
    return readRecordings(path, selectExamples, ports, modelFolder);
  }
  if (found.isDirectory()) {
    return readFolder(path, selectExamples, ports, modelFolder);
  }
  const { arrays, warnings } = await readArrays(path, ports);
  const rows = new Map(
    [...arrays].map(([name, array]) => [name, splitExamples(array, findPort(ports, name))]),
  );
  const available = exampleCount(rows, path);
  const examples = selectExamples(available).map(
    (i) =>
      new Map(
        [...rows].flatMap(([name, parts]) => {
          const array = parts[i];
          return array === undefined ? [] : [[name, { array, file: path }]];
        }),
      ),
  );
  return { examples, available, warnings };
}

/** Number of examples, which must be the same for all inputs. */
function exampleCount(rows: ReadonlyMap<string, readonly NumericArray[]>, file: string): number {
  const [[firstName, first] = ['', []], ...others] = rows;
  for (const [name, { length }] of others) {
    if (length !== first.length) {
      throw new UserError(
        'example-count-mismatch',
        say`It has ${counted(length, 'example')}, but ${firstName} has ${first.length}.`,
        { file, field: name, remedy: say`Every input needs the same number of rows.` },
      );
    }
  }
  return first.length;
}

const findPort = (ports: readonly InputPort[], name: string): InputPort | undefined =>
  ports.find((port) => port.name === name);

/** Arrays of a file by input name. */
async function readArrays(
  file: string,
  ports: readonly InputPort[],
): Promise<{ arrays: Map<string, NumericArray>; warnings: Message[] }> {
  const free = ports.filter((port) => !isDerivedInput(port)).map(({ name }) => name);
  switch (extname(file).toLowerCase()) {
    case '.npy':
      return { arrays: new Map([[onlyInput(free, file), await readNpy(file)]]), warnings: [] };
    case '.npz':
      return nameArrays(await readNpz(file), ports, free, file);
    default:
      throw new UserError(
        'example-file-unsupported',
        say`Examples are read from .npy and .npz files and folders of images or .wav files.`,
        {
          file,
          remedy: isOneExample(file)
            ? say`Choose the folder that contains it.`
            : say`Save the inputs with numpy.savez: one array for each, named after it.`,
        },
      );
  }
}

const isOneExample = (file: string): boolean =>
  [extensions.images, extensions.sounds].some((kind) => kind.has(extname(file).toLowerCase()));

function onlyInput(free: readonly string[], file: string): string {
  const [name, ...more] = free;
  if (name === undefined || more.length > 0) {
    throw new UserError(
      'inputs-ambiguous',
      say`The model has ${free.length} inputs: ${free.join(', ')}.`,
      {
        file,
        remedy: say`Save them with numpy.savez: one array for each, named after it.`,
      },
    );
  }
  return name;
}

function nameArrays(
  found: ReadonlyMap<string, NumericArray>,
  ports: readonly InputPort[],
  free: readonly string[],
  file: string,
): { arrays: Map<string, NumericArray>; warnings: Message[] } {
  const known = [...found].filter(([name]) => findPort(ports, name) !== undefined);
  const [only, ...more] = found.values();
  if (known.length === 0 && only !== undefined && more.length === 0 && free.length === 1) {
    return { arrays: new Map([[onlyInput(free, file), only]]), warnings: [] };
  }
  if (known.length === 0) {
    throw new UserError(
      'input-array-missing',
      say`None of its arrays (${[...found.keys()].join(', ')}) is an input of the model.`,
      { file, remedy: say`Name them as the inputs: ${free.join(', ')}.` },
    );
  }
  const others = [...found.keys()].filter((name) => findPort(ports, name) === undefined);
  return {
    arrays: new Map(known),
    warnings:
      others.length === 0
        ? []
        : [say`${file}: skipped arrays that are not inputs of the model: ${others.join(', ')}.`],
  };
}

/**
 * Splits an array into examples: along its first axis into batches of one if the model's batch size is 1 or dynamic;
 * along an additional leading axis; otherwise the whole array is one example.
 */
function splitExamples(array: NumericArray, port: InputPort | undefined): NumericArray[] {
  const { dims } = array;
  const shape = port?.shape;
  const [first] = shape ?? ['batch'];
  if (shape !== undefined && dims.length === shape.length + 1) {
    return slices(array, dims.slice(1));
  }
  const isBatch = typeof first === 'string' || first === 1;
  return dims.length > 0 && isBatch ? slices(array, [1, ...dims.slice(1)]) : [array];
}

/** Views of an array along its first axis with the given sizes. */
function slices({ dtype, dims, data }: NumericArray, sizes: readonly number[]): NumericArray[] {
  const step = elementCount(sizes);
  return Array.from({ length: dims[0] ?? 0 }, (_, i) => ({
    dtype,
    dims: sizes,
    data: data.subarray(i * step, (i + 1) * step),
  }));
}

async function readFolder(
  folder: string,
  selectExamples: ChooseExamples,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<GivenExamples> {
  const files = await listFiles(folder);
  const filesByKind = (kind: FileKind): string[] =>
    files.filter((file) => extensions[kind].has(extname(file).toLowerCase()));
  const [images, sounds, arrays] = [
    filesByKind('images'),
    filesByKind('sounds'),
    filesByKind('arrays'),
  ];
  const [chosen, ...others] = [images, sounds, arrays].filter(({ length }) => length > 0);
  if (chosen === undefined || others.length > 0) {
    const problem =
      chosen === undefined
        ? say`The folder has no images, audio files or arrays.`
        : say`The folder has images (${images.length}), audio files (${sounds.length}) and arrays (${arrays.length}).`;
    throw new UserError(
      chosen === undefined ? 'input-files-missing' : 'input-files-mixed',
      problem,
      {
        file: folder,
        remedy: say`Choose a folder of .png and .jpg images, .wav files, or .npy or .npz files.`,
      },
    );
  }
  const skipped = files.length - chosen.length;
  const read =
    chosen === arrays
      ? arrayReader(ports)
      : await (chosen === images ? imageReader : soundReader)(ports, modelFolder, folder);
  const examples: GivenValues[] = [];
  for (const i of selectExamples(chosen.length)) {
    examples.push(await read.example(chosen[i] ?? ''));
  }
  return {
    examples,
    available: chosen.length,
    warnings: [
      ...read.warnings,
      ...(skipped === 0 ? [] : [say`${folder}: ${counted(skipped, 'other file')} skipped.`]),
    ],
  };
}

interface ExampleReader {
  readonly warnings: readonly Message[];
  readonly example: (file: string) => Promise<GivenValues>;
}

async function imageReader(
  ports: readonly InputPort[],
  modelFolder: string,
  folder: string,
): Promise<ExampleReader> {
  const [port, ...more] = ports.filter((candidate) => !isDerivedInput(candidate));
  const form = port === undefined ? undefined : imageForm(port);
  if (port === undefined || form === undefined || more.length > 0) {
    throw new UserError(
      'inputs-not-from-images',
      say`The model needs other inputs in addition to images: ${ports.map(describePort).join(', ')}.`,
      { file: folder, remedy: say`Choose examples of all inputs in a .npz file.` },
    );
  }
  const { preprocess, warnings } = await loadImagePreprocessor(modelFolder, form);
  return { warnings, example: preparedReader(port, readImage, preprocess) };
}

async function soundReader(
  ports: readonly InputPort[],
  modelFolder: string,
  folder: string,
): Promise<ExampleReader> {
  const [port, ...more] = ports.filter((candidate) => !isDerivedInput(candidate));
  if (port === undefined || !takesSamples(port) || more.length > 0) {
    throw new UserError(
      'inputs-not-from-audio',
      say`The model needs other inputs in addition to audio: ${ports.map(describePort).join(', ')}.`,
      { file: folder, remedy: say`Choose examples of all inputs in a .npz file.` },
    );
  }
  const { preprocess, warnings } = await loadSoundPreprocessor(modelFolder);
  return {
    warnings,
    example: preparedReader(port, readWav, (sound) => {
      requireSamples(sound.samples.length, port);
      return preprocess(sound);
    }),
  };
}

function requireSamples(samples: number, { leastSamples = 1 }: InputPort): void {
  if (samples < leastSamples) {
    throw new UserError(
      'audio-too-short',
      say`The file has ${samples} samples, the model needs at least ${leastSamples}.`,
      { remedy: say`Remove the file, or choose longer audio.` },
    );
  }
}

/** Reads and preprocesses the single input of an example. */
function preparedReader<Read>(
  port: InputPort,
  read: (file: string) => Promise<Read>,
  preprocess: (read: Read) => NumericArray,
): ExampleReader['example'] {
  return async (file) => {
    const content = await read(file);
    try {
      return new Map([[port.name, { array: preprocess(content), file }]]);
    } catch (error) {
      throw inFile(error, file);
    }
  };
}

const describePort = ({ name, dtype, shape }: InputPort): string =>
  `${name} ${dtype} [${shape?.join(', ') ?? '…'}]`;

function arrayReader(ports: readonly InputPort[]): ExampleReader {
  return {
    warnings: [],
    example: async (file) => {
      const { arrays } = await readArrays(file, ports);
      return new Map(
        [...arrays].map(([name, array]) => [
          name,
          { array: wholeExample(array, findPort(ports, name), file), file },
        ]),
      );
    },
  };
}

/** One example from an array with or without a batch axis. */
function wholeExample(
  array: NumericArray,
  port: InputPort | undefined,
  file: string,
): NumericArray {
  const { dims } = array;
  const [first] = port?.shape ?? [];
  if (port?.shape?.length === dims.length + 1) {
    return { ...array, dims: [1, ...dims] };
  }
  if (typeof first === 'string' && dims[0] !== 1) {
    throw new UserError(
      'example-file-ambiguous',
      say`The file has ${counted(dims[0] ?? 0, 'example')}; in a folder, each file is one example.`,
      {
        file,
        ...(port === undefined ? {} : { field: port.name }),
        remedy: say`Choose the file itself instead of its folder.`,
      },
    );
  }
  return array;
}

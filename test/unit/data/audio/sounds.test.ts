import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseWav } from '../../../../extension/core/data/audio/wav';
import { loadExamples } from '../../../../extension/core/data/examples/load-examples';
import type { LoadedExamples } from '../../../../extension/core/data/examples/load-examples';
import { readNpz } from '../../../../extension/core/data/npz';
import { inEnglish } from '../../../../extension/core/message';
import type { InputPort } from '../../../../extension/core/models/layered-model';
import { openModel } from '../../../../extension/core/models/open-model';
import { encoderFixture } from '../../encoder-fixtures';
import { temporaryFolder } from '../../temporary-folder';

const examples = join(import.meta.dirname, '../../../fixtures/examples');
const port: InputPort = { name: 'input_values', dtype: 'F32', shape: ['batch', 'samples'] };
const root = temporaryFolder();

const load = (file: string, model: string, ports = [port]): Promise<LoadedExamples> =>
  loadExamples({ file, count: 10, seed: 0 }, ports, model);

/** A WAVE file of 16-bit integers with other bytes in it. */
function changed(
  ...changes: readonly (readonly [offset: number, bytes: readonly number[]])[]
): Buffer {
  const bytes = readFileSync(join(examples, 'sounds/integers.wav'));
  for (const [offset, values] of changes) {
    bytes.set(values, offset);
  }
  return bytes;
}

it.each(['normalized', 'as-it-is'])(
  'sounds are prepared as the feature extractor of transformers does: %s',
  async (name) => {
    const golden = await readNpz(join(examples, 'sounds.npz'));
    const folder = join(examples, 'sounds');
    const read = await load(folder, join(examples, `processors/sound-${name}`));
    for (const [i, file] of ['floats', 'integers'].entries()) {
      const expected = golden.get(`${name}-${file}`);
      const value = read.examples[i]?.['input_values'];
      expect(value?.dims).toEqual(expected?.dims);
      const data = Array.from(value?.data ?? [], Number);
      for (const [at, number] of Array.from(expected?.data ?? [], Number).entries()) {
        expect(data[at]).toBeCloseTo(number, 5);
      }
    }
    expect(read.warnings.map(inEnglish)).toEqual([`${folder} has 2 examples; 10 were requested.`]);
  },
);

it('sounds are normalized with a warning if the model has no setting', async () => {
  const { examples: read, warnings } = await load(join(examples, 'sounds'), root);
  const data = Array.from(read[1]?.['input_values']?.data ?? [], Number);
  const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
  const variance = data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length;
  expect(mean).toBeCloseTo(0, 5);
  expect(variance).toBeCloseTo(1, 4);
  expect(warnings.map(inEnglish)[0]).toMatch(/no preprocessor_config\.json: audio at 16000/);
});

it('the format of a WAVE file may be in its extension', () => {
  const plain = changed();
  const extra = Buffer.alloc(24);
  extra.writeUInt16LE(22, 0);
  extra.writeUInt16LE(1, 8);
  const bytes = Buffer.concat([plain.subarray(0, 36), extra, plain.subarray(36)]);
  bytes.writeUInt32LE(40, 16);
  bytes.writeUInt16LE(0xff_fe, 20);
  expect(parseWav(bytes, 'a.wav')).toEqual(parseWav(plain, 'a.wav'));
});

it.each([
  [
    'nothing of the kind',
    Buffer.from('RIFF'),
    { code: 'wav-signature-missing' as const, file: 'a.wav' },
  ],
  [
    'two channels',
    changed([22, [2]]),
    { code: 'wav-channels-unsupported' as const, file: 'a.wav', field: 'channels' },
  ],
  [
    '24 bits',
    changed([34, [24]]),
    { code: 'wav-encoding-unsupported' as const, file: 'a.wav', field: 'format' },
  ],
  [
    'compressed samples',
    changed([20, [17]]),
    { code: 'wav-encoding-unsupported' as const, file: 'a.wav', field: 'format' },
  ],
  ['no samples', changed().subarray(0, 36), { code: 'wav-empty' as const, file: 'a.wav' }],
  [
    'half a sample',
    changed([40, [1, 0, 0, 0]]).subarray(0, 45),
    { code: 'wav-empty' as const, file: 'a.wav' },
  ],
  [
    'half of it',
    changed().subarray(0, 300),
    { code: 'wav-truncated' as const, file: 'a.wav', field: 'data' },
  ],
])('a WAVE file with %s is refused', (_, bytes, message) => {
  expect(() => parseWav(bytes, 'a.wav')).toFailWith(message);
});

it('sounds at another rate, and models without sound input, are refused with the file', async () => {
  const folder = join(root, 'sounds');
  mkdirSync(folder);
  writeFileSync(join(folder, 'slow.wav'), changed([24, [0x40, 0x1f, 0, 0]]));
  await expect(load(folder, root)).rejects.toFailWith({
    code: 'sample-rate-mismatch',
    file: 'slow.wav',
  });
  const spectrogram = { ...port, shape: ['batch', 20, 18] };
  await expect(load(folder, root, [spectrogram])).rejects.toFailWith({
    code: 'inputs-not-from-audio',
    file: 'sounds',
  });
  const model = join(root, 'model');
  mkdirSync(model);
  const config = { feature_extractor_type: 'ASTFeatureExtractor' };
  writeFileSync(join(model, 'preprocessor_config.json'), JSON.stringify(config));
  await expect(load(folder, model)).rejects.toFailWith({
    code: 'feature-extractor-unsupported',
    file: 'preprocessor_config.json',
    field: 'feature_extractor_type',
  });
});

it('sounds shorter than the convolutions of a model are refused', async () => {
  // Convolutions of 5 and 3 values, the first with stride 3: one frame is of 5 + 2 · 3 samples.
  const { inputs } = await openModel(encoderFixture('wav2vec2-ctc'));
  const makeSound = (samples: number): string => {
    const folder = join(root, `${samples}-samples`);
    mkdirSync(folder);
    const bytes = changed([40, [2 * samples, 0, 0, 0]]).subarray(0, 44 + 2 * samples);
    writeFileSync(join(folder, 'a.wav'), bytes);
    return folder;
  };
  await expect(load(makeSound(10), root, [...inputs])).rejects.toFailWith({
    code: 'audio-too-short',
    file: 'a.wav',
  });
  await expect(load(makeSound(11), root, [...inputs])).resolves.toMatchObject({
    examples: [{ input_values: { dims: [1, 11] } }],
  });
});

it('a single sound is refused, with its folder as the suggestion', async () => {
  await expect(load(join(examples, 'sounds/integers.wav'), root)).rejects.toFailWith({
    code: 'example-file-unsupported',
    file: 'integers.wav',
  });
});

it('a folder of sounds and images is refused', async () => {
  const folder = join(root, 'both');
  mkdirSync(folder);
  copyFileSync(join(examples, 'sounds/integers.wav'), join(folder, 'a.wav'));
  copyFileSync(join(examples, 'images/rgb.png'), join(folder, 'b.png'));
  await expect(load(folder, root)).rejects.toFailWith({ code: 'input-files-mixed', file: 'both' });
});

it('random samples have one second, or fewer if the model takes fewer frames', async () => {
  const samples = async (port: InputPort): Promise<readonly number[] | undefined> => {
    const { examples: read } = await loadExamples({ count: 1, seed: 3, length: 40 }, [port], root);
    return read[0]?.['input_values']?.dims;
  };
  expect(await samples(port)).toEqual([1, 16_000]);
  expect(await samples({ ...port, leastSamples: 400 })).toEqual([1, 16_000]);
  expect(await samples({ ...port, leastSamples: 11 })).toEqual([1, 440]);
});

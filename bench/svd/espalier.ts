/** Decomposes the bench's matrix in this process: node dist/bench-svd.cjs FILE. */
import process from 'node:process';
import type { LazyTensor } from '../../extension/core/checkpoints/lazy-tensor';
import { MatrixProducts } from '../../extension/core/linear-algebra/matrix-products';
import { randomizedSvd } from '../../extension/core/tensornet/randomized-svd';

/** As in pytorch.py. */
const [rows, columns, rank] = [4096, 11_008, 512];

async function main(file: string): Promise<void> {
  const length = rows * columns * Float32Array.BYTES_PER_ELEMENT;
  const tensor: LazyTensor = {
    name: 'matrix',
    dtype: 'F32',
    shape: [rows, columns],
    file,
    offset: 0,
    length,
  };
  const products = new MatrixProducts('cpu', 1 << 30);
  const [started, before] = [performance.now(), process.cpuUsage()];
  const found = await randomizedSvd(products, { kind: 'stored', tensor }, { rank, seed: 0 });
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  await products.dispose();
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  process.stdout.write(
    `${JSON.stringify({
      seconds,
      work: (user + system) / 1e6,
      error: found.error / found.norm,
      vectors: 2 * found.basisSize,
      cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
      megabytes: maxRSS / 1024,
    })}\n`,
  );
}

const [file = ''] = process.argv.slice(2);
void main(file);

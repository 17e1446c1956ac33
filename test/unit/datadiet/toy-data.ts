import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Random } from '../training/random';
import { npyBytes, npyHeader, zipBytes } from '../data/npy-file';

/** Three clouds of points in the plane, as a table; classes take turns. */
export function cloudsTable(path: string, size: number, seed = 1): string {
  const random = new Random(seed);
  const rows = Array.from({ length: size }, (_, i) => {
    const [dx = 0, dy = 0] = random.normals(2);
    const angle = (2 * Math.PI * (i % 3)) / 3;
    const point = [3 * Math.cos(angle) + dx, 3 * Math.sin(angle) + dy];
    return `${point.map((x) => x.toFixed(4)).join(',')},${['ant', 'bee', 'cow'][i % 3] ?? ''}`;
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `x,y,label\n${rows.join('\n')}\n`);
  return path;
}

/** Square images with a bright left or right half, as a .npz archive with a test part. */
export function halvesArchive(path: string, size: number, side = 8): string {
  const random = new Random(2);
  const part = (count: number): { x: Buffer; y: Buffer } => {
    const pixels = Uint8Array.from({ length: count * side ** 2 }, (_, i) => {
      const bright = Math.floor(i / side ** 2) % 2 === Math.floor((i % side) / (side / 2));
      return (bright ? 160 : 40) + random.int(0, 60);
    });
    const labels = Uint8Array.from({ length: count }, (_, i) => i % 2);
    return {
      x: npyBytes(npyHeader('|u1', [count, 1, side, side]), pixels),
      y: npyBytes(npyHeader('|u1', [count]), labels),
    };
  };
  const [train, test] = [part(size), part(size)];
  const arrays = { x_train: train.x, y_train: train.y, x_test: test.x, y_test: test.y };
  const entries = Object.entries(arrays).map(([name, data]) => ({ name: `${name}.npy`, data }));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, zipBytes(entries));
  return path;
}

/** Short texts of two classes that share most of their words. */
export function textLines(path: string, size: number): string {
  const random = new Random(3);
  const words = ['the', 'day', 'was', 'long', 'and', 'we', 'went', 'home'];
  const lines = Array.from({ length: size }, (_, i) => {
    const common = Array.from({ length: 3 + random.int(0, 6) }, () => words[random.int(0, 7)]);
    return JSON.stringify({
      text: [...common, i % 2 === 0 ? 'happy' : 'angry'].join(' '),
      label: i % 2 === 0 ? 'good' : 'bad',
    });
  });
  writeFileSync(path, lines.join('\n'));
  return path;
}

/** Folder of a toy dataset in a test's own folder. */
export const toyPath = (folder: string, name: string): string => join(folder, 'toy', name);

import { readFile } from 'node:fs/promises';

/**
 * Equal parts of a text, cut at lines.
 * @param {string} file
 * @param {number} count
 */
export async function splitText(file, count) {
  const lines = (await readFile(file, 'utf8')).split('\n');
  const size = Math.floor(lines.length / count);
  return Array.from({ length: count }, (_, i) => lines.slice(i * size, (i + 1) * size).join('\n'));
}

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { isGguf, isOnnx } from './model-folder';

/** Files that tell what a model is, in its folder. */
const modelFile = /\.(?:json|model|safetensors|gguf|onnx|onnx[._]data)$/i;

/**
 * Names, sizes and modification times of a model's files. If the stamp changes, the model must be read again.
 * @param place the model's folder, or one of its files
 * @param others files with other names or in other folders
 */
export async function modelStamp(place: string, others: readonly string[] = []): Promise<string> {
  const isFile = isGguf(place) || isOnnx(place);
  const isFolder = !isFile && (await stat(place).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? place : dirname(place);
  const stem = basename(place, extname(place));
  const names = await readdir(folder).catch((): string[] => []);
  const own = names.filter((name) =>
    isFile
      ? name === basename(place) || name.endsWith('.json') || name.startsWith(`${stem}.onnx`)
      : modelFile.test(name),
  );
  const files = new Set([...own.map((name) => join(folder, name)), ...others]);
  const stamps = await Promise.all([...files].sort().map(fileStamp));
  return stamps.join('\n');
}

/** Size and time of a file. */
export async function fileStamp(file: string): Promise<string> {
  return stat(file).then(
    ({ size, mtimeMs }) => `${file} ${size} ${mtimeMs}`,
    () => `${file} missing`,
  );
}

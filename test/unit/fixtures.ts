import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Folder of the tiny models; see test/fixtures/README.md. */
const modelsFolder = join(import.meta.dirname, '../fixtures/models');

export const caseNames: readonly string[] = readdirSync(modelsFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

const familiesFolder = join(import.meta.dirname, '../fixtures/families');

/** Families, and forms of some, with a small model each. */
export const familyNames: readonly string[] = readdirSync(familiesFolder).sort();

export function familyFixture(name: string, ...parts: readonly string[]): string {
  return join(familiesFolder, name, ...parts);
}

const stagesFolder = join(import.meta.dirname, '../fixtures/stages');

/** Families of image models in stages, with a small model each. */
export const stagedNames: readonly string[] = readdirSync(stagesFolder).sort();

export function stagedFixture(name: string, ...parts: readonly string[]): string {
  return join(stagesFolder, name, ...parts);
}

/** Cases that have the golden document `file`. */
export function casesWith(file: string): readonly string[] {
  return caseNames.filter((name) => existsSync(fixture(name, file)));
}

/** Reference array stored next to a golden document. */
export interface GoldenArray {
  readonly file: string;
  readonly shape: readonly number[];
}

export function fixture(name: string, ...parts: readonly string[]): string {
  return join(modelsFolder, name, ...parts);
}

export function readJson<T>(name: string, file: string): T {
  return JSON.parse(readFileSync(fixture(name, file), 'utf8')) as T;
}

export function readFloats(name: string, array: GoldenArray): Float32Array {
  const bytes = readFileSync(fixture(name, array.file));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Fields of config.json that list something for each block, which writing shortens. */
export function fieldsByBlock(folder: string, blocks: number): string[] {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  return Object.entries(config).flatMap(([field, value]) =>
    Array.isArray(value) && value.length === blocks ? [field] : [],
  );
}

/** max |a − b| / max |b| */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY;
  }
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const delta = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    difference = delta > difference || Number.isNaN(delta) ? delta : difference;
    scale = Math.max(scale, Math.abs(expected[i] ?? 0));
  }
  return difference / scale;
}

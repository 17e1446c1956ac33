import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { ByteCopier } from '../../../../extension/core/export/byte-copier';
import { copied } from '../../../../extension/core/export/gguf/gguf-tensors';
import type { GgufTensor } from '../../../../extension/core/export/gguf/gguf-tensors';
import { planGguf, writeGguf } from '../../../../extension/core/export/gguf/gguf-writer';
import { unattended } from '../../../../extension/core/jobs/job';
import { GgufKeys } from '../../../../extension/core/models/gguf/gguf-keys';
import { openModel } from '../../../../extension/core/models/open-model';
import { familyFixture, fieldsByBlock, relativeError } from '../../fixtures';
import { sublayerFeatures } from '../../sample';
import { temporaryFolder } from '../../temporary-folder';
import { computeLogits, prune } from '../pruning';

const root = temporaryFolder();
let count = 0;
/** A path where nothing is yet. */
export function fresh(): string {
  // The first test file of a worker removes the folder when it ends; later files share this module.
  mkdirSync(root, { recursive: true });
  return join(root, `${count++}`);
}
export const ids = [[5, 9, 2, 33, 41, 7, 60, 12, 18, 3, 27, 50]];
export const floatValues = { format: 'gguf', types: { mix: 'F32' } } as const;
export const yarn = {
  full_attention: {
    ...{ rope_type: 'yarn', rope_theta: 10_000, factor: 4, original_max_position_embeddings: 16 },
    attention_factor: 1.2,
  },
  sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
};

/** Failure of a folder that llama.cpp would run differently; its field is at fault. */
export const notInGguf = { code: 'not-in-gguf', file: 'config.json' } as const;

export const attends = (how: string): string => `${how}_attention`;

/** A family's fixture: what its config.json has otherwise, the architecture it becomes, and a block that can go. */
export interface FamilyCase {
  readonly name: string;
  readonly changed?: object;
  readonly architecture: string;
  readonly block: number;
}

/** A family's fixture, with other fields in its config.json. */
export function makeFolder(name: string, changed?: object): string {
  if (changed === undefined) {
    return familyFixture(name);
  }
  const copy = fresh();
  cpSync(familyFixture(name), copy, { recursive: true });
  const file = join(copy, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, ...changed }));
  return copy;
}

/** The GGUF file in a folder. */
export const fileIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

/** Ids of all sublayers of a block. */
export async function blockIds(path: string, block: number): Promise<string[]> {
  const { sublayers } = (await openModel(path)).summary;
  return sublayers.flatMap((one) => (one.block === block ? [one.id] : []));
}

/** A file like another, but for entries of its header and what becomes of its tensors. */
export async function rewritten(
  file: string,
  changed: Readonly<Record<string, (key: string) => Buffer>>,
  tensorsOf = (tensors: readonly GgufTensor[]) => tensors,
): Promise<string> {
  const keys = new GgufKeys(await readGgufHeader(file), file);
  const replaced = Object.entries(changed).map(
    ([name, entry]) => [keys.name(name), entry(keys.name(name))] as const,
  );
  return withEntries(file, new Map(replaced), tensorsOf);
}

/** A file like another, but for entries of its header by the names that they replace, and what becomes of its tensors. */
export async function withEntries(
  file: string,
  replaced: ReadonlyMap<string, Buffer>,
  tensorsOf = (tensors: readonly GgufTensor[]) => tensors,
): Promise<string> {
  const header = await readGgufHeader(file);
  const keys = new GgufKeys(header, file);
  const blocks = Array.from({ length: keys.number('block_count') }, (_, block) => block);
  const tensors = header.tensors.map((tensor) => copied({ name: tensor.name, tensor }));
  const plan = await planGguf(header, { blocks, replaced }, tensorsOf(tensors));
  const folder = fresh();
  mkdirSync(folder);
  const path = join(folder, 'rewritten.gguf');
  const copier = new ByteCopier(plan.bytes, unattended);
  await writeGguf(path, plan, copier);
  await copier.close();
  return path;
}

/** Placeholder for missing logits; no real ones are near it. */
export const none = new Float32Array();

/** Tests that a GGUF file of a family has the logits of the folder. */
export async function expectSame({ name, changed, architecture }: FamilyCase): Promise<void> {
  const [folder, out] = [makeFolder(name, changed), fresh()];
  await prune(folder, [], out, floatValues);
  const file = fileIn(out);
  expect((await readGgufHeader(file)).metadata.get('general.architecture')).toBe(architecture);
  const expected = await computeLogits(folder, ids);
  expect(relativeError(await computeLogits(file, ids), expected)).toBeLessThan(1e-5);
}

/** Tests that a GGUF file without a block, written from the folder or from its GGUF file, has the logits of the folder. */
export async function expectSameWithoutBlock({ name, changed, block }: FamilyCase): Promise<void> {
  const folder = makeFolder(name, changed);
  const [whole, pruned, again] = [fresh(), fresh(), fresh()];
  const removed = await blockIds(folder, block);
  const expected = await computeLogits(folder, ids, removed);
  await prune(folder, removed, pruned, floatValues);
  expect(relativeError(await computeLogits(fileIn(pruned), ids), expected)).toBeLessThan(1e-5);
  await prune(folder, [], whole, floatValues);
  await prune(fileIn(whole), removed, again, { format: 'gguf' });
  expect(relativeError(await computeLogits(fileIn(again), ids), expected)).toBeLessThan(1e-5);
}

/**
 * Features that matter if a block is removed: kinds of sublayers, and fields of config.json that depend on the number of
 * a block.
 */
export async function blockFeatures({ name, changed }: FamilyCase): Promise<string> {
  const folder = makeFolder(name, changed);
  const { blocks } = (await openModel(folder)).summary;
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  const periods = Object.keys(config).filter((field) =>
    /dense|sparse|freq|interval|period|pattern/.test(field),
  );
  const listed = fieldsByBlock(folder, blocks);
  return [await sublayerFeatures(folder), ...periods, ...listed].join();
}

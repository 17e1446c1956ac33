import { join } from 'node:path';
import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { readModelText } from '../../checkpoints/model-file';
import { encodeHeader } from '../../checkpoints/safetensors';
import type { ByteCopier } from '../byte-copier';
import { writeAll, writeFlushed } from '../byte-copier';
import type { PlannedTensor, Shard } from '../weight-plan';
import { parseJsonText } from '../../parse-json';

const indexName = 'model.safetensors.index.json';
/**
 * Writes the shards and, if there are several, their index. Returns their names, the index last.
 */
export async function writeSafetensors(
  folder: string,
  shards: readonly Shard[],
  source: Checkpoint,
  copier: ByteCopier,
): Promise<string[]> {
  // transformers 4 refuses files without it.
  const metadata = { format: 'pt', ...source.metadata };
  for (const { fileName, tensors } of shards) {
    const path = join(folder, fileName);
    const unchanged = unchangedFile(tensors, source);
    if (unchanged !== undefined) {
      await copier.copyFile(unchanged, path, totalBytes(tensors));
      continue;
    }
    await writeFlushed(path, async (handle) => {
      const header = encodeHeader(tensors, metadata);
      await writeAll(handle, path, header, 0);
      const ranges = tensors.flatMap(
        ({ tensor, zeros = false, ranges = [{ ...tensor, zeros }] }) => ranges,
      );
      await copier.copy(ranges, handle, path, header.length);
    });
  }
  const names = shards.map(({ fileName }) => fileName);
  if (shards.length === 1) {
    return names;
  }
  await writeIndex(join(folder, indexName), shards, await readIndexMetadata(source));
  return [...names, indexName];
}

/** Source file that contains exactly these tensors under the same names, if there is one. */
function unchangedFile(
  tensors: readonly PlannedTensor[],
  { tensors: all, metadata }: Checkpoint,
): string | undefined {
  const file = tensors[0]?.tensor.file;
  const shardTensors = [...all.values()].filter((tensor) => tensor.file === file);
  const isSame =
    metadata['format'] === 'pt' &&
    shardTensors.length === tensors.length &&
    tensors.every(
      ({ name, tensor, zeros, ranges }) =>
        tensor.file === file && name === tensor.name && zeros !== true && ranges === undefined,
    );
  return isSame ? file : undefined;
}

function totalBytes(tensors: readonly PlannedTensor[]): number {
  return tensors.reduce((sum, { tensor }) => sum + tensor.length, 0);
}

async function writeIndex(
  path: string,
  shards: readonly Shard[],
  metadata: Record<string, unknown>,
): Promise<void> {
  const tensors = shards.flatMap((shard) => shard.tensors.map(({ tensor }) => tensor));
  const counts = {
    ...('total_parameters' in metadata
      ? { total_parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0) }
      : {}),
    total_size: tensors.reduce((sum, { length }) => sum + length, 0),
  };
  const places = shards
    .flatMap(({ fileName, tensors: held }) =>
      held.map(({ name }): [string, string] => [name, fileName]),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const index = { metadata: { ...metadata, ...counts }, weight_map: Object.fromEntries(places) };
  const text = Buffer.from(`${JSON.stringify(index, null, 2)}\n`);
  await writeFlushed(path, async (handle) => writeAll(handle, path, text, 0));
}

/** `metadata` of the source's index, which may contain custom fields. */
async function readIndexMetadata(source: Checkpoint): Promise<Record<string, unknown>> {
  if (!source.entry.endsWith('.json')) {
    return {};
  }
  const index = parseJsonText(await readModelText(source.entry)) as { metadata?: unknown };
  return typeof index.metadata === 'object' ? { ...index.metadata } : {};
}

import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { fileWriter, parquetWriteRows } from 'hyparquet-writer';
import { replaceFile } from '../../jobs/write-document';
import { checkParquet } from './check-parquet';
import { compressors, rowsAtOnce, withParquet } from './parquet-file';
import { partProgress } from './write-part';
import type { PartContext, PartWriter, Relabeled } from './write-part';

type Row = Record<string, unknown>;

/** Label column, and the value that it stores for a class. */
interface LabelValues {
  readonly label: string;
  readonly valueOf: (label: number) => unknown;
}

/** Writes rows of Parquet files to one file with the columns, types and metadata of the first. */
export const parquetWriter =
  (files: readonly string[], counts: readonly number[], labels: LabelValues): PartWriter =>
  async (indices, folder, context, relabeled) => {
    await mkdir(folder, { recursive: true });
    const [first = ''] = files;
    const path = join(folder, basename(first));
    const metadata = await withParquet(first, async (_, found) => Promise.resolve(found));
    const names = topLevelColumns(metadata.schema);
    await checkParquet(files, names);
    await replaceFile(path, async (partial) => {
      await parquetWriteRows({
        writer: fileWriter(partial),
        rows: relabel(chosenRows(files, counts, indices, context), labels, relabeled),
        columns: names.map((name) => ({ name })),
        schema: metadata.schema,
        rowGroupSize: rowsAtOnce,
        ...(metadata.key_value_metadata === undefined
          ? {}
          : { kvMetadata: metadata.key_value_metadata }),
      });
    });
    return [path];
  };

/** Names of the top-level columns in a depth-first schema. */
function topLevelColumns(schema: readonly { name: string; num_children?: number }[]): string[] {
  const names: string[] = [];
  let i = 1;
  const skip = (): void => {
    const children = schema[i++]?.num_children ?? 0;
    for (let child = 0; child < children; child++) {
      skip();
    }
  };
  while (i < schema.length) {
    names.push(schema[i]?.name ?? '');
    skip();
  }
  return names;
}

async function* relabel(
  rows: AsyncIterable<{ readonly index: number; readonly row: Row }>,
  { label, valueOf }: LabelValues,
  relabeled: Relabeled,
): AsyncGenerator<Row> {
  for await (const { index, row } of rows) {
    const changed = relabeled.get(index);
    yield changed === undefined ? row : { ...row, [label]: valueOf(changed) };
  }
}

async function* chosenRows(
  files: readonly string[],
  counts: readonly number[],
  indices: Int32Array,
  context: PartContext,
): AsyncGenerator<{ readonly index: number; readonly row: Row }> {
  const ordered = [...indices];
  const taken = partProgress(context, indices.length, 'examples');
  let [next, before] = [0, 0];
  for (const [i, path] of files.entries()) {
    const count = counts[i] ?? 0;
    for (let rowStart = 0; rowStart < count; rowStart += rowsAtOnce) {
      const rowEnd = Math.min(count, rowStart + rowsAtOnce);
      const from = next;
      while (next < ordered.length && (ordered[next] ?? 0) < before + rowEnd) {
        next++;
      }
      if (next === from) {
        continue;
      }
      const rows: Row[] = await withParquet(path, async (file, metadata) =>
        parquetReadObjects({
          ...{ file, metadata, rowStart, rowEnd, compressors },
          ...{ utf8: false, geoparquet: false },
        }),
      );
      for (const index of ordered.slice(from, next)) {
        yield { index, row: rows[index - before - rowStart] ?? {} };
      }
      await taken(next - from);
    }
    before += count;
  }
}

import { basename } from 'node:path';
import { describeVerification } from '../../export/verification';
import { formatChange, formatCount } from '../../format';
import { inEnglish } from '../../message';
import type { EncodingSpec } from '../../models/encodings/encoding-spec';
import type { Manifest } from '../../pipelines/manifest-file';
import { listed, listedIds, describeOrigin } from '../report';
import type { Report } from '../report';

/**
 * Report on a model that Espalier wrote, compared with its source.
 * @param path of the model
 */
export function modelReport(manifest: Manifest, path: string): Report {
  const { source, result, removed, widths = {}, compressed = {}, verification } = manifest;
  return {
    title: `${basename(path)}, made from ${source.name}`,
    facts: [
      { name: 'Architecture', value: source.architecture },
      {
        name: 'Parameters',
        value: `${formatCount(source.parameters)} → ${formatCount(result.parameters)} (${formatChange(source.parameters, result.parameters)})`,
      },
      { name: 'Blocks', value: `${source.blocks} → ${result.sourceBlocks.length}` },
      { name: 'Format', value: [result.format, result.layout].filter(Boolean).join(', ') },
      { name: 'Loads with', value: result.loadsWith },
      {
        name: 'Checked after writing',
        value: inEnglish(describeVerification(verification)),
      },
    ],
    sections: [
      ...listedIds('Removed', removed),
      ...listed(
        'Width pruned',
        [{ title: 'sublayer' }, { title: 'left', isNumeric: true }],
        Object.entries(widths).map(([id, left]) => [id, String(left)]),
      ),
      ...listed(
        'Compressed',
        [{ title: 'form' }, { title: 'layers', isNumeric: true }],
        encodingRows(compressed),
      ),
    ],
    origin: describeOrigin(manifest),
  };
}

/** Rows with the number of layers per encoding. */
function encodingRows(compressed: Readonly<Record<string, EncodingSpec>>): string[][] {
  const counts = new Map<string, number>();
  for (const { kind } of Object.values(compressed)) {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => [kind, String(count)]);
}

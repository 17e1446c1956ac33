import { sep } from 'node:path';
import { version } from '../../../package.json';
import { describeForms } from '../models/encodings/encoding-spec';
import type { ModelSummary, SublayerSummary } from '../models/model-summary';
import { onnxRuntimeVersion } from '../runtime/device';
import type { PruneResult } from './prune-result';
import type { Changes } from '../export/changes';
import { readManifest } from './manifest-file';
import type { Manifest } from './manifest-file';
import { inEnglish } from '../message';

/** Creates the manifest of a new folder. */
export async function describeResult(
  source: ModelSummary,
  changes: Changes,
  result: Pick<
    PruneResult,
    'format' | 'layout' | 'loadsWith' | 'parametersAfter' | 'verification'
  > & {
    readonly widths: PruneResult['widths'] | undefined;
    /** Names of the folder's files. */
    readonly files: readonly string[];
  },
): Promise<Manifest> {
  const earlier = await readManifest(source.path);
  const { format, layout, loadsWith, parametersAfter, verification, widths } = result;
  return {
    format: 'espalier.manifest',
    version: 1,
    source: {
      name: source.name,
      fingerprint: source.fingerprint,
      architecture: source.architecture,
      blocks: source.blocks,
      parameters: source.parameters,
      ...(earlier === undefined ? {} : { manifest: earlier }),
    },
    removed: changes.removed,
    ...(widths === undefined ? {} : { widths }),
    ...(changes.matrices.size === 0 ? {} : { compressed: describeForms(changes.matrices) }),
    ...(Object.keys(changes.patched).length === 0 ? {} : { patches: changes.patched }),
    result: {
      format,
      ...(layout === undefined ? {} : { layout }),
      loadsWith: inEnglish(loadsWith),
      parameters: parametersAfter,
      sourceBlocks: changes.blocks,
      absent: changes.absent,
      ...(changes.remainingExperts.size === 0
        ? {}
        : { sourceExperts: Object.fromEntries(changes.remainingExperts) }),
      keyValueCaches: changes.remaining.flatMap((sublayer) =>
        hasCache(sublayer, format, source) && !changes.patches.has(sublayer.id)
          ? [sublayer.id]
          : [],
      ),
      ...(format === 'onnx' && source.sublayers.some(keepsCache)
        ? {
            note: 'num_hidden_layers of config.json counts the key/value caches, which is what runtimes of ONNX models read it for.',
          }
        : {}),
    },
    files: result.files.map((name) => name.split(sep).join('/')),
    verification,
    created: new Date().toISOString(),
    versions: {
      espalier: version,
      onnxruntime: onnxRuntimeVersion(),
      node: process.versions.node,
    },
  };
}

function keepsCache({ kvBytesPerToken }: SublayerSummary): boolean {
  return kvBytesPerToken > 0;
}

/** In an ONNX graph, attention layers that share another layer's keys have their own cache. */
function hasCache(
  sublayer: SublayerSummary,
  format: PruneResult['format'],
  { sublayers }: ModelSummary,
): boolean {
  const isReader = sublayer.kind === 'attention' && sublayers.some(keepsCache);
  return keepsCache(sublayer) || (format === 'onnx' && isReader);
}

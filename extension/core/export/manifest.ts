import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { version } from '../../../package.json';
import { describeForms } from '../models/forms/form-spec';
import type { FormSpec } from '../models/forms/form-spec';
import type { ModelSummary, SublayerSummary } from '../models/model-summary';
import type { PatchSpecs } from '../models/patch/symbolic-patch';
import { onnxRuntimeVersion } from '../runtime/version';
import type { PruneResult } from './prune-result';
import type { ModelFormat } from '../models/opened-model';
import type { Changes } from './changes';

export const manifestName = 'espalier.json';

/** The document `espalier.json` beside a model that Espalier wrote: where it comes from and what is otherwise. */
export interface Manifest {
  readonly format: 'espalier.manifest';
  readonly version: 1;
  readonly source: {
    readonly name: string;
    readonly fingerprint: string;
    readonly architecture: string;
    readonly blocks: number;
    readonly parameters: number;
    /** The source's own manifest, if Espalier pruned it before. */
    readonly manifest?: unknown;
  };
  /** Ids of sublayers and single experts in the source's numbering. */
  readonly removed: readonly string[];
  /** Forms that matrices have taken, by the names of their weights in the source. */
  readonly compressed?: Readonly<Record<string, FormSpec>>;
  /** Symbolic patches of the result, in its own numbering. */
  readonly patches?: PatchSpecs;
  readonly result: {
    readonly format: ModelFormat;
    /** How config.json says what is gone. */
    readonly layout?: string;
    readonly loadsWith: string;
    readonly parameters: number;
    /** Source block of each block, in order. */
    readonly sourceBlocks: readonly number[];
    /** Sublayer ids that the blocks lack, in the result's numbering. */
    readonly absent: readonly string[];
    /** Source numbers of the experts of each mixture that lost some, by its id in the source. */
    readonly sourceExperts?: Readonly<Record<string, readonly number[]>>;
    /** Source id of the attention sublayer behind each key/value cache, in order. */
    readonly keyValueCaches: readonly string[];
    /** What config.json says that may surprise. */
    readonly note?: string;
  };
  readonly verification: PruneResult['verification'];
  /** ISO 8601. */
  readonly created: string;
  readonly versions: {
    readonly espalier: string;
    readonly onnxruntime: string;
    readonly node: string;
  };
}

/** Everything that the manifest of a new folder says. */
export async function describeResult(
  source: ModelSummary,
  changes: Changes,
  result: Pick<PruneResult, 'format' | 'layout' | 'loadsWith' | 'parametersAfter' | 'verification'>,
): Promise<Manifest> {
  const earlier = await readManifest(source.path);
  const { format, layout, loadsWith, parametersAfter, verification } = result;
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
    ...(changes.matrices.size === 0 ? {} : { compressed: describeForms(changes.matrices) }),
    ...(Object.keys(changes.patched).length === 0 ? {} : { patches: changes.patched }),
    result: {
      format,
      ...(layout === undefined ? {} : { layout }),
      loadsWith,
      parameters: parametersAfter,
      sourceBlocks: changes.blocks,
      absent: changes.absent,
      ...(changes.keptExperts.size === 0
        ? {}
        : { sourceExperts: Object.fromEntries(changes.keptExperts) }),
      keyValueCaches: changes.kept.flatMap((sublayer) =>
        keepsCache(sublayer) && !changes.patches.has(sublayer.id) ? [sublayer.id] : [],
      ),
      ...(format === 'onnx' && source.sublayers.some(keepsCache)
        ? {
            note: 'num_hidden_layers of config.json counts the key/value caches, which is what runtimes of ONNX models read it for.',
          }
        : {}),
    },
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

/** The manifest of a model that Espalier wrote; a damaged one is passed over. */
async function readManifest(model: string): Promise<unknown> {
  const folder = /\.(?:gguf|onnx)$/i.test(model) ? dirname(model) : model;
  try {
    return JSON.parse(await readFile(join(folder, manifestName), 'utf8')) as unknown;
  } catch {
    return undefined;
  }
}

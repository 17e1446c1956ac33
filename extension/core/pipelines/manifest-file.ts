import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { readModelText } from '../checkpoints/model-file';
import { manifestName } from '../document-names';
import { encodingSpec } from '../models/encodings/encoding-spec';
import type { EncodingSpec } from '../models/encodings/encoding-spec';
import { outputFormatNames } from '../export/output-formats';
import type { OutputFormat } from '../export/output-formats';
import { patchSpecs } from '../models/patch/symbolic-patch';
import type { PatchSpecs } from '../models/patch/symbolic-patch';
import type { PruneResult } from './prune-result';
import { parseJsonText } from '../parse-json';

/** The document `espalier.json` next to a model that Espalier wrote: its source and its changes. */
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
    readonly manifest?: Manifest;
  };
  /** Ids of sublayers and single experts in the source's numbering. */
  readonly removed: readonly string[];
  /**
   * Remaining channels or key/value heads of width-pruned sublayers, by their ids in the source.
   */
  readonly widths?: Readonly<Record<string, number>>;
  /** Encodings of compressed matrices, by weight name in the source. */
  readonly compressed?: Readonly<Record<string, EncodingSpec>>;
  /** Symbolic patches of the result, in its own numbering. */
  readonly patches?: PatchSpecs;
  readonly result: {
    readonly format: OutputFormat;
    /** Layout by which config.json represents the removed parts. */
    readonly layout?: string;
    readonly loadsWith: string;
    readonly parameters: number;
    /** Source block of each block, in order. */
    readonly sourceBlocks: readonly number[];
    /** Sublayer ids that the blocks lack, in the result's numbering. */
    readonly absent: readonly string[];
    /**
     * Source numbers of the remaining experts of each pruned MoE layer, by its id in the source.
     */
    readonly sourceExperts?: Readonly<Record<string, readonly number[]>>;
    /** Source id of the attention sublayer of each key/value cache, in order. */
    readonly keyValueCaches: readonly string[];
    /** Note about surprising fields of config.json. */
    readonly note?: string;
  };
  /** Files of the folder, this one included, as relative paths with slashes. Only these are overwritten. */
  readonly files: readonly string[];
  readonly verification: PruneResult['verification'];
  /** ISO 8601. */
  readonly created: string;
  readonly versions: {
    readonly espalier: string;
    readonly onnxruntime: string;
    readonly node: string;
  };
}

const ids = v.array(v.string());
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const manifestSchema = v.object({
  format: v.literal('espalier.manifest'),
  version: v.literal(1),
  source: v.object({
    name: v.string(),
    fingerprint: v.string(),
    architecture: v.string(),
    blocks: count,
    parameters: count,
    manifest: v.optional(v.lazy((): v.GenericSchema => manifestSchema)),
  }),
  removed: ids,
  widths: v.optional(v.record(v.string(), count)),
  compressed: v.optional(v.record(v.string(), encodingSpec)),
  patches: v.optional(patchSpecs),
  result: v.object({
    format: v.picklist(outputFormatNames),
    layout: v.optional(v.string()),
    loadsWith: v.string(),
    parameters: count,
    sourceBlocks: v.array(count),
    absent: ids,
    sourceExperts: v.optional(v.record(v.string(), v.array(count))),
    keyValueCaches: ids,
    note: v.optional(v.string()),
  }),
  files: v.array(v.string()),
  verification: v.object({
    relativeError: v.number(),
    tolerance: v.number(),
    top1Agreement: v.optional(v.number()),
    tokens: count,
    examples: v.optional(v.boolean()),
    llamaCpp: v.optional(
      v.object({
        release: v.string(),
        top1Agreement: v.optional(v.number()),
        failure: v.optional(v.string()),
      }),
    ),
  }),
  created: v.string(),
  versions: v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
});

/**
 * Manifest that Espalier wrote next to a model. Undefined for other models and if the manifest is
 * damaged.
 * @param model its folder or file
 */
export async function readManifest(model: string): Promise<Manifest | undefined> {
  const folder = /\.(?:gguf|onnx)$/i.test(model) ? dirname(model) : model;
  try {
    const json: unknown = parseJsonText(await readModelText(join(folder, manifestName)));
    return v.parse(manifestSchema, json) as Manifest;
  } catch {
    return undefined;
  }
}

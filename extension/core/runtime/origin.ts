import { cpus } from 'node:os';
import { onnxRuntimeVersion } from './device';
import * as v from 'valibot';
import { described } from '../jobs/parse-document';

/** Entries of a document that tell its origin. */
export const originEntries = {
  created: described(v.string(), 'Time of creation'),
  versions: described(
    v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
    'Versions of Espalier, ONNX Runtime and Node',
  ),
  machine: described(
    v.object({
      platform: v.string(),
      processor: v.string(),
      cores: v.pipe(v.number(), v.integer(), v.minValue(0)),
    }),
    'Machine',
  ),
};

/** Time, version and machine that produced a document. */
export interface Origin {
  /** ISO 8601. */
  readonly created: string;
  readonly versions: {
    readonly espalier: string;
    readonly onnxruntime: string;
    readonly node: string;
  };
  readonly machine: {
    readonly platform: string;
    readonly processor: string;
    readonly cores: number;
  };
}

/** The origin of a document made now, by Espalier of `version`. */
export function describeOrigin(version: string): Origin {
  return {
    created: new Date().toISOString(),
    versions: {
      espalier: version,
      onnxruntime: onnxRuntimeVersion(),
      node: process.versions.node,
    },
    machine: {
      platform: `${process.platform} ${process.arch}`,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
    },
  };
}

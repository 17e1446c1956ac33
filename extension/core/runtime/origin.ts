import { cpus } from 'node:os';
import { onnxRuntimeVersion } from './device';

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

import { env } from 'onnxruntime-node';

/** Version of the ONNX Runtime in use. */
export function onnxRuntimeVersion(): string {
  return env.versions.node ?? env.versions.common;
}

import { cpus } from 'node:os';
import { onnxRuntimeVersion } from '../version';

/** What measured times hold for: they are measured again where any of it has changed. */
export function machineName(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown';
  return `${process.platform} ${process.arch}, ${processor}, ${processors.length} cores, ONNX Runtime ${onnxRuntimeVersion()}`;
}

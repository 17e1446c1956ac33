import { cpus } from 'node:os';
import { onnxRuntimeVersion } from '../device';

/**
 * Name of the machine for which measured times are valid. They are measured again if any part of it
 * changes.
 */
export function machineName(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown';
  return `${process.platform} ${process.arch}, ${processor}, ${processors.length} cores, ONNX Runtime ${onnxRuntimeVersion()}`;
}

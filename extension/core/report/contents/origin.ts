import type { Origin } from '../../runtime/origin';

/** Describes the date, the device and the versions of a measurement. */
export function describeOrigin({
  created,
  versions,
  machine,
}: Pick<Origin, 'created' | 'versions'> & Partial<Origin>): string {
  const where = machine === undefined ? '' : `, ${machine.processor}, ${machine.cores} cores`;
  return `Espalier ${versions.espalier}, ONNX Runtime ${versions.onnxruntime}, ${created.slice(0, 10)}${where}`;
}

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Path of a checkpoint made by make_quantized_fixtures.py. */
export function quantizedFixture(name: string, ...parts: readonly string[]): string {
  return join(import.meta.dirname, '../fixtures/quantized', name, ...parts);
}

/** The checkpoints. */
export const quantizedCases = [
  'gptq-4-act-order',
  'gptq-8-v2',
  'gptq-3',
  'gptq-2-no-index',
  'awq',
  'awq-gemv',
  'bnb-nf4',
  'bnb-int8',
  'compressed-int3',
  'compressed-int4',
  'compressed-int8',
  'compressed-fp8',
  'compressed-nvfp4',
  'fp8',
  'modelopt-nvfp4',
  'mxfp4',
  'deepseek-v4',
] as const;

/** Output of transformers with the dequantized weights. */
export function quantizedGolden(name: string): { inputIds: number[][]; logits: Float32Array } {
  const { inputIds } = JSON.parse(readFileSync(quantizedFixture(name, 'golden.json'), 'utf8')) as {
    inputIds: number[][];
  };
  const bytes = readFileSync(quantizedFixture(name, 'golden.bin'));
  return { inputIds, logits: new Float32Array(Uint8Array.from(bytes).buffer) };
}

/** A copy of a fixture in `folder` with these fields of `quantization_config`, or without it. */
export function copyWithFields(
  name: string,
  fields: Readonly<Record<string, unknown>> | undefined,
  folder: string,
): string {
  cpSync(quantizedFixture(name), folder, { recursive: true });
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const { quantization_config: old, ...rest } = config;
  const changed =
    fields === undefined
      ? rest
      : { ...rest, quantization_config: { ...(old as object), ...fields } };
  writeFileSync(path, JSON.stringify(changed));
  return folder;
}

/** A model in `folder` whose quantization can be inspected, but not run. */
export function inspectedOnly(folder: string): string {
  return copyWithFields('compressed-int4', { format: 'marlin-24' }, folder);
}

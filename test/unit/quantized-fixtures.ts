import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Path of a checkpoint made by make_quantized_fixtures.py. */
export function quantizedFixture(name: string, ...parts: readonly string[]): string {
  return join(import.meta.dirname, '../fixtures/quantized', name, ...parts);
}

/** Checkpoints that run. */
export const runnableCases = ['gptq-4-act-order', 'gptq-8-v2', 'gptq-2-no-index', 'awq'] as const;

/** What transformers gives with the dequantized weights. */
export function quantizedGolden(name: string): { inputIds: number[][]; logits: Float32Array } {
  const { inputIds } = JSON.parse(readFileSync(quantizedFixture(name, 'golden.json'), 'utf8')) as {
    inputIds: number[][];
  };
  const bytes = readFileSync(quantizedFixture(name, 'golden.bin'));
  return { inputIds, logits: new Float32Array(Uint8Array.from(bytes).buffer) };
}

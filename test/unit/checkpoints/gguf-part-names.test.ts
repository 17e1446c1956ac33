import { expect, it } from 'vitest';
import { nameWithType } from '../../../extension/core/checkpoints/gguf-parts';

it.each([
  ['SmolLM2.gguf', 'Q4_K_M', 'SmolLM2-Q4_K_M.gguf'],
  ['SmolLM2-F16.gguf', 'Q4_K_M', 'SmolLM2-Q4_K_M.gguf'],
  ['gemma-3-270m.q4_k_m.gguf', 'Q8_0', 'gemma-3-270m-Q8_0.gguf'],
  ['model-IQ2_XXS.GGUF', 'BF16', 'model-BF16.gguf'],
  ['Qwen3-0.6B.gguf', 'Q6_K', 'Qwen3-0.6B-Q6_K.gguf'],
  ['SmolLM2-Q4_1.gguf', undefined, 'SmolLM2-Q4_1.gguf'],
])('%s written as %s is named %s', (name, type, expected) => {
  expect(nameWithType(name, type)).toBe(expected);
});

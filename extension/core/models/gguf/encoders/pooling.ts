import { poolingsWith } from '../../folder-pooling';
import type { Pooling } from '../../folder-pooling';
import type { GgufKeys } from '../gguf-keys';
import { say } from '../../../message';

/** Pooling mode numbers (`enum llama_pooling_type`). */
export const poolingNumbers = { none: 0, mean: 1, first: 2, last: 3 } as const;

export const poolingKey = 'pooling_type';

/** Optional linear layers after pooling. */
export const denseModules = ['dense_2', 'dense_3'] as const;

/**
 * `architectures` of config.json for a file's pooling mode; empty without one.
 * @throws UserError for unknown modes and rerankers
 */
export function describePooling(keys: GgufKeys): readonly string[] {
  const asked = keys.numberIfPresent(poolingKey) ?? poolingNumbers.none;
  const pooling = poolingsWith([]).find(({ reads }) => poolingNumbers[reads as Pooling] === asked);
  return asked === poolingNumbers.none
    ? []
    : [
        pooling?.class ??
          keys.fault(
            keys.name(poolingKey),
            'gguf-pooling-unsupported',
            say`Pooling ${asked} is not supported, only none, mean, first and last position.`,
            say`Use the Hugging Face folder of the model.`,
          ),
      ];
}

import type { GgufHeader } from '../../checkpoints/gguf';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readBlockCount } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import { say } from '../../message';

/** Module of the weights of xIELU below a block. The file has lists of them, one number for each block. */
export const curveInGguf = 'xielu';

/** Weights of xIELU below their module, each with the sizes that folders have. */
export const curveWeights = { alpha_n: [1], alpha_p: [1], beta: [], eps: [] } as const;

export const curveKey = (weight: string): string => `xielu.${weight}`;

const floatType = 6;
const bytesEach = 4;

/**
 * xIELU weights of each block, as tensors by name. Their values are stored in the header.
 * @throws UserError naming a list that lacks blocks.
 */
export function curveTensors(keys: GgufKeys, header: GgufHeader): Map<string, LazyTensor> {
  const blocks = readBlockCount(keys);
  return new Map(
    Object.entries(curveWeights).flatMap(([weight, shape]) => {
      const key = curveKey(weight);
      const list = header.metadata.get(key) ?? keys.missing(key);
      if (typeof list !== 'object' || list.elementType !== floatType || list.length < blocks) {
        return keys.fault(
          key,
          'gguf-curve-invalid',
          say`It should have a float32 number for each block.`,
        );
      }
      return Array.from({ length: blocks }, (_, block): [string, LazyTensor] => {
        const name = `blk.${block}.${curveInGguf}.${weight}`;
        const offset = list.offset + block * bytesEach;
        return [name, { name, dtype: 'F32', shape, file: header.file, offset, length: bytesEach }];
      });
    }),
  );
}

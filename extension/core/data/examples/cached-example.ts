import { elementCount } from '../../checkpoints/lazy-tensor';
import { fillArray, isArrayDType, isFloat } from '../../checkpoints/numeric-array';
import type { Example } from '../../models/model-input';
import type { InputPort } from '../../models/layered-model';
import { UserError } from '../../user-error';
import { seededRandom, standardNormal } from '../random';
import { say } from '../../message';

/** Number of cached positions, and of encoder positions. */
const past = 3;
const source = 5;
const defaultBound = 100;

/**
 * Random inputs for a model with a KV cache: one new token after {@link past} cached ones. Sizes follow from axis
 * names, as optimum assigns them.
 * @throws UserError naming an input whose shape or dtype is not specific enough.
 */
export function cachedExample(
  ports: readonly InputPort[],
  bounds: Readonly<Record<string, number>>,
  file: string,
): Example {
  const random = seededRandom(1);
  return Object.fromEntries(
    ports.map((port) => {
      const { name, dtype, shape } = port;
      if (shape === undefined || !isArrayDType(dtype)) {
        throw new UserError(
          'input-not-generatable',
          say`Values for this input can't be generated.`,
          {
            file,
            field: name,
            remedy: say`Export the model with a shape and a numeric dtype for this input.`,
          },
        );
      }
      const dims = shape.map((size, axis) =>
        typeof size === 'number' ? size : axisSize(size, axis, name),
      );
      const value = (): number => {
        if (isFloat(dtype)) {
          return standardNormal(random);
        }
        if (name.endsWith('mask') || dtype === 'BOOL') {
          return 1;
        }
        const isPosition = name.includes('position');
        return isPosition ? past : Math.floor(random() * (bounds[name] ?? defaultBound));
      };
      return [name, { dtype, dims, data: fillArray(dtype, elementCount(dims), value) }];
    }),
  );
}

function axisSize(size: string, axis: number, name: string): number {
  if (axis === 0 || /batch/i.test(size)) {
    return 1;
  }
  if (/(?:^|[._])encoder/.test(name)) {
    return source;
  }
  // A merged graph names the mask's length like that of the new tokens, although it also covers the cache.
  if (name.startsWith('past') || name.endsWith('attention_mask')) {
    return name.endsWith('mask') ? past + 1 : past;
  }
  return 1;
}

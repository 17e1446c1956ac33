import { linearRoles, outerPlaces } from '../../core/models/matrix-encoding';
import type { LinearRole, OuterPlace } from '../../core/models/matrix-encoding';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

/** Options that choose matrices outside the sublayers. */
const outerFlags: Readonly<Record<OuterPlace, string>> = { embedding: 'embeddings', head: 'head' };

export const outerOptionTypes: OptionTypes = {
  embeddings: { type: 'boolean' },
  head: { type: 'boolean' },
};

/** The places outside the sublayers that are asked for. */
export function readOuter(args: Arguments): OuterPlace[] {
  return outerPlaces.filter((place) => args.flag(outerFlags[place]));
}

/** The roles that an option lists; undefined where it is not given. */
export function readRoles(args: Arguments, option: string): LinearRole[] | undefined {
  return args
    .text(option)
    ?.split(',')
    .map((text) => {
      const role = linearRoles.find((one) => one === text.trim());
      if (role === undefined) {
        throw new UsageError(
          `--${option} takes some of ${linearRoles.join(', ')}, not "${text.trim()}".`,
        );
      }
      return role;
    });
}

/** `0-3,7`: 0, 1, 2, 3 and 7. */
export function readBlocks(text: string | undefined): number[] {
  if (text === undefined) {
    return [];
  }
  return text.split(',').flatMap((part) => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      throw new UsageError(`--blocks takes numbers such as 0-3,7, not "${part}".`);
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

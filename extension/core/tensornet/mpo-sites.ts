import type { SiteChoice } from './compression-choice';
import { bondFor, bondSizes, factorize } from './mpo';
import type { SiteSizes } from './mpo';

/** Sites of the paper's examples. */
const defaultSites = 3;
const fewestSites = 2;

/**
 * The sites of a matrix. By itself: three, of factors as near to each other as can be, where both
 * sizes divide into three; else two. A prime has the factors 1 and itself: nothing is padded, as
 * that would cost every product more than unequal sites do.
 */
export function sitesOf(out: number, inputs: number, choice?: SiteChoice): SiteSizes {
  if (typeof choice === 'object') {
    return choice;
  }
  const count =
    choice ??
    ([out, inputs].every((size) => factorize(size, defaultSites)[0] !== 1)
      ? defaultSites
      : fewestSites);
  return { out: factorize(out, count), in: factorize(inputs, count) };
}

/** The largest bond whose cores have at most `ratio` of the matrix's numbers; 1 where none has. */
export function bondForRatio(sites: SiteSizes, ratio: number): number {
  const numbers = [...sites.out, ...sites.in].reduce((all, size) => all * size, 1);
  const bond = bondFor(sites, ratio * numbers) ?? 1;
  // Beyond the largest bond nothing changes any more.
  return Math.min(bond, Math.max(...bondSizes(sites, bond)));
}

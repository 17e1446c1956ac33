import type { SiteChoice } from './compression-choice';
import { bondFor, bondSizes, factorize } from './mpo';
import type { SiteSizes } from './mpo';

/** Number of sites in the paper's examples. */
const defaultSites = 3;
const fewestSites = 2;

/**
 * Sites of a matrix. By default three with factors as equal as possible, or two if a size can't be divided into three.
 * A prime has the factors 1 and itself: padding would cost more in every matmul than unequal sites.
 */
export function chooseSites(out: number, inputs: number, choice?: SiteChoice): SiteSizes {
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

/** Largest bond dimension whose cores have at most `ratio` of the matrix's elements; 1 if none has. */
export function bondForRatio(sites: SiteSizes, ratio: number): number {
  const numbers = [...sites.out, ...sites.in].reduce((all, size) => all * size, 1);
  const bond = bondFor(sites, ratio * numbers) ?? 1;
  // Above the largest useful bond nothing changes.
  return Math.min(bond, Math.max(...bondSizes(sites, bond)));
}

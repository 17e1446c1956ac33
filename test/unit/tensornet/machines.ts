import { fitCosts } from '../../../extension/core/tensornet/costs/machine-costs';
import type { MachineCosts } from '../../../extension/core/tensornet/costs/machine-costs';

/** A machine on which only multiplications take time, those of chains `slower` times as long. */
export function machine(slower: number): MachineCosts {
  const rates = { perCall: 0, perByte: 0, perMac: 1e-6, perMoved: 0 };
  return {
    ...fitCosts('cpu', []),
    rates: {
      dense: rates,
      int8: rates,
      'blocks-8': rates,
      'blocks-4': rates,
      chain: { ...rates, perMac: slower * 1e-6 },
    },
  };
}

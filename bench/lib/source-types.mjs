/**
 * The types of a model's stored weights, as a sentence for the results of a bench. Weights that were quantized before
 * are on a grid, so measurements on them say nothing about quantizing float weights.
 */
import { espalier } from './espalier.mjs';

const floatTypes = new Set(['F64', 'F32', 'F16', 'BF16']);
const noEvidence = 'so the rows of quantized models say nothing about quantizing float weights';

/**
 * Describes the source of a bench by what `espalier inspect` reports.
 * @param {string} model folder or file
 */
export async function describeSource(model) {
  const { dtypes, grid } = await espalier(['inspect', model]);
  const types = Object.keys(dtypes);
  const stored = `Source weights: stored as ${types.join(', ')}`;
  if (types.some((type) => !floatTypes.has(type)))
    return `${stored}: already quantized, ${noEvidence}.`;
  return grid === undefined
    ? `${stored}, not quantized before.`
    : `${stored}; ${grid.onGrid} of ${grid.matrices} sampled matrices are on the grid of ${grid.type}: quantized before, ${noEvidence}.`;
}

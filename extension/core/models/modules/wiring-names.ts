import type { ConfigFields } from '../transformer/model-config';

/** Factors on the residual stream and on a branch when they are added; 1 by default. */
export interface SumFactors {
  readonly stream?: number;
  readonly branch?: number;
}

/** Names of the tensors around a branch, below a block's prefix. They say how it is wired into the stream. */
export interface WiringNames {
  /** Norm of the stream before the branch. It stays if the branch is removed. */
  readonly streamNorm?: string;
  /** Norm of the branch's input. */
  readonly norm?: string;
  /** Norm of the branch's output, before it is added to the residual stream. */
  readonly postNorm?: string;
  /** Norm of the sum of both. */
  readonly sumNorm?: string;
  /** A factor for each channel of the branch's output (LayerScale, arXiv 2103.17239). */
  readonly layerScale?: string;
  readonly factors?: (config: ConfigFields) => SumFactors;
  /** Role of the block's input in a branch that runs in parallel with the branch before it; absent if sequential. */
  readonly parallel?: 'input' | 'sum';
}

/** x + branch(norm(x)) (arXiv 2002.04745) */
export const preNorm = (norm: string): { readonly norm: string } => ({ norm });

/** norm(x) + branch(norm(x)) (arXiv 2501.08313) */
export const streamNorm = (norm: string): { readonly streamNorm: string } => ({
  streamNorm: norm,
});

/** norm(x + branch(x)) (arXiv 1706.03762) */
export const postNorm = (sumNorm: string): { readonly sumNorm: string } => ({ sumNorm });

/** x + norm(branch(x)) (arXiv 2501.00656) */
export const outputNorm = (norm: string): { readonly postNorm: string } => ({ postNorm: norm });

/** x + outputNorm(branch(inputNorm(x))) (arXiv 2105.13290) */
export const sandwich = (
  inputNorm: string,
  norm: string,
): { readonly norm: string; readonly postNorm: string } => ({ norm: inputNorm, postNorm: norm });

/** The wiring of a branch with factors on it and on the stream. */
export const scaled = <Wiring extends WiringNames>(
  wiring: Wiring,
  factors: (config: ConfigFields) => SumFactors,
): Wiring & Required<Pick<WiringNames, 'factors'>> => ({ ...wiring, factors });

/** The wiring of a branch that reads the block's input, in parallel with the branch before it (arXiv 2204.02311). */
export const parallelBranch = <Wiring extends WiringNames>(
  wiring: Wiring,
): Wiring & { readonly parallel: 'input' } => ({ ...wiring, parallel: 'input' });

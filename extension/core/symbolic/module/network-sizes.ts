import type { EncoderOptions } from './encoder';

/** Sizes of the network of arXiv 2303.03340. */
export interface NetworkSize {
  readonly encoder: EncoderOptions;
  /** Width d of what a graph module or its substitute reads. */
  readonly features: number;
}

/** The published one, and one that an ordinary machine trains in seconds. */
export const networkSizes = {
  paper: {
    encoder: {
      ...{ imageSize: 128, patch: 16, width: 256, convolutionBlocks: 3 },
      ...{ transformerBlocks: 2, heads: 4, headSize: 128, hidden: 512 },
    },
    features: 512,
  },
  small: {
    encoder: {
      ...{ imageSize: 32, patch: 4, width: 32, convolutionBlocks: 1 },
      ...{ transformerBlocks: 1, heads: 2, headSize: 16, hidden: 64 },
    },
    features: 64,
  },
} as const satisfies Readonly<Record<string, NetworkSize>>;

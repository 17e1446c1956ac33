import type { EncoderOptions } from './encoder';

/** Sizes of the network of arXiv 2303.03340. */
export interface NetworkSize {
  readonly encoder: EncoderOptions;
  /** Input width d of the graph module or its replacement. */
  readonly features: number;
}

/** The published size, and one that trains in seconds on a typical machine. */
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

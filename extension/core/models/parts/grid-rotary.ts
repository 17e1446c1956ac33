import type { GraphBuilder } from '../../onnx/graph-builder';
import type { SideInputs } from '../modules/sublayer';

/** 2D rotary embedding by patch position in an image (DINOv3, arXiv 2508.10104). */
export interface GridRotary {
  readonly headDim: number;
  readonly theta: number;
  readonly grid: readonly [height: number, width: number];
  /** Number of tokens before the patches, which aren't rotated. */
  readonly before: number;
}

/** Emits the tables of all tokens: centers of patches, from −1 to 1, by row in one half of the pairs and by column in the other. */
export function emitGridRotation(
  graph: GraphBuilder,
  { headDim, theta, grid: [height, width], before }: GridRotary,
): NonNullable<SideInputs['rotation']> {
  const inverse = Array.from({ length: headDim / 4 }, (_, i) => theta ** ((-4 * i) / headDim));
  const turns = (number: number, size: number): number[] =>
    inverse.map((frequency) => 2 * Math.PI * ((2 * number + 1) / size - 1) * frequency);
  const untouched = Array<number>((before * headDim) / 2).fill(0);
  const patches = Array.from({ length: height * width }, (_, patch) => {
    const column = patch % width;
    return [...turns((patch - column) / width, height), ...turns(column, width)];
  });
  const angles = [...untouched, ...patches.flat()];
  const shape = [1, 1, before + height * width, headDim / 2];
  const frequencies = { kind: 'fixed', inverse } as const;
  return {
    rotary: {
      dimensions: headDim,
      interleaved: false,
      reversed: false,
      attentionFactor: 1,
      frequencies,
    },
    cos: graph.floats(angles.map(Math.cos), shape),
    sin: graph.floats(angles.map(Math.sin), shape),
  };
}

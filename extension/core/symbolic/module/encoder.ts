import {
  activation,
  attention,
  conv2d,
  dense,
  layerNorm,
  residual,
  sequential,
} from '../../training/layers';
import type { Layer } from '../../training/layers';
import { sinCosPositions } from '../../models/patch/graph-slots';
import type { Place } from '../../models/patch/graph-slots';

/** Options of an encoder of square images with one channel. */
export interface EncoderOptions {
  /** Side of the image in pixels. */
  readonly imageSize: number;
  /** Side of the patch of one token, in pixels. */
  readonly patch: number;
  readonly width: number;
  readonly convolutionBlocks: number;
  readonly transformerBlocks: number;
  readonly heads: number;
  readonly headSize: number;
  /** Hidden size of a transformer block's MLP. */
  readonly hidden: number;
}

const gelu = activation('gelu');

/**
 * Image encoder of arXiv 2303.03340's released code: [batch, 1, size, size] → [batch, width]. Patches become channels,
 * convolutions mix neighbors, a pre-norm transformer (Beyer et al. 2022) mixes all tokens, and the output is their
 * mean.
 */
export function encoder(options: EncoderOptions): Layer {
  const { imageSize, patch, width, convolutionBlocks, transformerBlocks } = options;
  const side = imageSize / patch;
  const repeat = (count: number, block: () => Layer): Layer[] =>
    Array.from({ length: count }, block);
  return sequential({
    unshuffle: pixelUnshuffle(patch, side),
    embedding: conv2d(width, 1),
    convolutions: sequential(repeat(convolutionBlocks, () => convolutionBlock(width))),
    tokens: tokensWithPositions(side, width),
    blocks: sequential(repeat(transformerBlocks, () => transformerBlock(options))),
    mean: tokenMean,
  });
}

function convolutionBlock(width: number): Layer {
  const pointwise = conv2d(width, 1, { bias: false });
  return residual(
    sequential({
      spatial: conv2d(width, 3, { padding: 1, bias: false }),
      norm: layerNorm({ axes: 3 }),
      expand: pointwise,
      gelu,
      project: pointwise,
    }),
  );
}

function transformerBlock({ width, heads, headSize, hidden }: EncoderOptions): Layer {
  return sequential({
    attention: residual(
      sequential({ norm: layerNorm(), attention: attention({ heads, headSize, bias: false }) }),
    ),
    feedforward: residual(
      sequential({ norm: layerNorm(), expand: dense(hidden), gelu, project: dense(width) }),
    ),
  });
}

/** [batch, 1, side · patch, side · patch] → [batch, patch², side, side], patches row by row. */
const pixelUnshuffle =
  (patch: number, side: number): Layer =>
  ({ graph }, { value, shape }) => {
    const cut = graph.op('Reshape', [value, graph.ints([-1, side, patch, side, patch])]);
    const moved = graph.op('Transpose', [cut], { perm: [0, 2, 4, 1, 3] });
    const sizes = [patch * patch, side, side];
    return {
      value: graph.op('Reshape', [moved, graph.ints([-1, ...sizes])]),
      shape: [...shape.slice(0, 1), ...sizes],
    };
  };

/** [batch, width, side, side] → [batch, side², width] */
const tokensWithPositions =
  (side: number, width: number): Layer =>
  ({ graph }, { value, shape }) => {
    const places = Array.from({ length: side * side }, (_, token): Place => [
      token % side,
      Math.floor(token / side),
    ]);
    const flat = graph.op('Reshape', [value, graph.ints([-1, width, side * side])]);
    const tokens = graph.op('Transpose', [flat], { perm: [0, 2, 1] });
    const positions = graph.floats(sinCosPositions(places, width), [side * side, width]);
    return {
      value: graph.op('Add', [tokens, positions]),
      shape: [...shape.slice(0, 1), side * side, width],
    };
  };

/** [batch, tokens, width] → [batch, width] */
const tokenMean: Layer = ({ graph }, { value, shape }) => ({
  value: graph.reduce('ReduceMean', value, [1], 0),
  shape: [...shape.slice(0, 1), ...shape.slice(2)],
});

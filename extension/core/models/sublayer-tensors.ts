import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { Linear } from './linear';
import type { Norm } from './norm';
import type { TransformerSublayer } from './transformer-layout';

/** Every tensor of a sublayer, norms and biases included. */
export function sublayerTensors(sublayer: TransformerSublayer): readonly LazyTensor[] {
  const { norm, postNorm, sumNorm } = sublayer.weights;
  const queryKeyNorms =
    sublayer.kind === 'attention' && sublayer.weights.queryKeyNorms !== undefined
      ? [sublayer.weights.queryKeyNorms.query, sublayer.weights.queryKeyNorms.key]
      : [];
  return [norm, ...queryKeyNorms, ...sublayerLinears(sublayer), postNorm, sumNorm].flatMap(
    partTensors,
  );
}

/** Every linear layer of a sublayer. */
export function sublayerLinears({ kind, weights }: TransformerSublayer): readonly Linear[] {
  switch (kind) {
    case 'attention':
      return [...weights.queryKeyValue, weights.output];
    case 'feedforward':
      return [...weights.gateUp, weights.down];
    case 'expert':
      return [weights.router, ...weights.experts.flatMap(({ gateUp, down }) => [...gateUp, down])];
  }
}

/** Linear layers by which a sublayer adds to the stream. */
export function outputLinears({ kind, weights }: TransformerSublayer): readonly Linear[] {
  switch (kind) {
    case 'attention':
      return [weights.output];
    case 'feedforward':
      return [weights.down];
    case 'expert':
      return weights.experts.map(({ down }) => down);
  }
}

/** Weight and bias of a norm or a linear layer, as far as there are any. */
export function partTensors(part: Norm | undefined): LazyTensor[] {
  return [part?.weight, part?.bias].filter((tensor) => tensor !== undefined);
}

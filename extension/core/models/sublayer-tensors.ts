import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { Expert } from './experts';
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
      return [
        ...weights.router.map((weight) => ({ weight })),
        ...weights.experts.flatMap(expertLinears),
      ];
  }
}

/** What belongs to the single experts of a mixture, by expert. */
export interface ExpertTensors {
  /** [count, hiddenSize], of which each expert has a row. */
  readonly router: LazyTensor;
  readonly experts: readonly (readonly LazyTensor[])[];
}

/** Undefined where no single expert can be removed: the router's rows must lie one after the other. */
export function expertTensors(sublayer: TransformerSublayer): ExpertTensors | undefined {
  if (sublayer.kind !== 'expert') {
    return undefined;
  }
  const [router] = sublayer.weights.router;
  return router === undefined || router.packed !== undefined
    ? undefined
    : {
        router,
        experts: sublayer.weights.experts.map((expert) =>
          expertLinears(expert).flatMap(partTensors),
        ),
      };
}

function expertLinears({ gateUp, down }: Expert): readonly Linear[] {
  return [...gateUp, down];
}

/**
 * Tensors by which a sublayer adds to the stream: with zeros in them it adds nothing. Undefined where
 * the sum has a norm.
 */
export function outputTensors(sublayer: TransformerSublayer): readonly LazyTensor[] | undefined {
  return sublayer.weights.sumNorm === undefined
    ? outputLinears(sublayer).flatMap(partTensors)
    : undefined;
}

function outputLinears({ kind, weights }: TransformerSublayer): readonly Linear[] {
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

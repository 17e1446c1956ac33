import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ExpertTensors } from './expert-tensors';
import type { Expert } from '../parts/experts';
import { formMemory, hasFewBits } from '../forms/form-facts';
import type { Linear } from '../parts/linear';
import { partTensors, storedTensors } from './part-tensors';
import { patchTensors } from '../patch/symbolic-patch';
import type { RunningCosts } from './tapped-part';
import type { TransformerSublayer } from './transformer-layout';

/** Every tensor of a sublayer, norms and biases included, or what `tensorsOf` tells of its parts. */
export function sublayerTensors(
  sublayer: TransformerSublayer,
  tensorsOf = partTensors,
): readonly LazyTensor[] {
  const { norm, postNorm, sumNorm } = sublayer.weights;
  const queryKeyNorms =
    sublayer.kind === 'attention' && sublayer.weights.queryKeyNorms !== undefined
      ? [sublayer.weights.queryKeyNorms.query, sublayer.weights.queryKeyNorms.key]
      : [];
  const parts = [norm, ...queryKeyNorms, ...sublayerLinears(sublayer), postNorm, sumNorm];
  const own = sublayer.kind === 'patch' ? patchTensors(sublayer.patch) : [];
  return [...parts.flatMap((part) => tensorsOf(part)), ...own];
}

/** What a sublayer asks of a session: floats are widened to float32. */
export function runningCosts(sublayer: TransformerSublayer): RunningCosts {
  return costsOf(sublayerTensors(sublayer, storedTensors), sublayerLinears(sublayer));
}

/** The same of tensors that are stored as floats, and of the forms that layers have. */
export function costsOf(stored: readonly LazyTensor[], linears: readonly Linear[]): RunningCosts {
  const bytesOf = (tensors: readonly LazyTensor[]): number =>
    tensors.reduce(
      (sum, { shape }) => sum + elementCount(shape) * Float32Array.BYTES_PER_ELEMENT,
      0,
    );
  const forms = linears.flatMap(({ form }) => form ?? []);
  return {
    bytes: forms.reduce((sum, form) => sum + formMemory(form), bytesOf(stored)),
    mappedBytes: bytesOf(stored.filter(isMapped)),
    needsPrepacking: forms.some(hasFewBits),
  };
}

/** The same of a table whose rows are looked up where they lie, unless it has to be unpacked first. */
export function lookupCosts(table: Linear): RunningCosts {
  const costs = costsOf(storedTensors(table), [table]);
  return table.form === undefined && table.weight.packed !== undefined
    ? costs
    : { ...costs, mappedBytes: costs.bytes };
}

/** Whether ONNX Runtime reads the numbers where they lie. */
function isMapped({ dtype, packed, interleavedHeads }: LazyTensor): boolean {
  return dtype === 'F32' && packed === undefined && interleavedHeads === undefined;
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
    case 'patch':
      return [];
  }
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
          expertLinears(expert).flatMap((linear) => partTensors(linear)),
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
    ? sublayer.kind === 'patch'
      ? [sublayer.patch.tensors['up.weight'], sublayer.patch.tensors['up.bias']].filter(
          (tensor) => tensor !== undefined,
        )
      : outputLinears(sublayer).flatMap(partTensors)
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
    case 'patch':
      return [];
  }
}

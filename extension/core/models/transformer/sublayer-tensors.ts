import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Expert, ExpertWeights } from '../parts/experts';
import { formMemory, hasFewBits } from '../forms/form-facts';
import { xieluTensors } from '../parts/feedforward';
import type { Linear } from '../parts/linear';
import { sharedPartLinears } from '../parts/adapted';
import type { MixerParts } from '../parts/mixers/mixer-kind';
import { endTensors } from '../parts/block-end';
import { biasGateTensors } from '../parts/gated-bias';
import type { Norm } from '../parts/norm';
import { partTensors, storedTensors } from './part-tensors';
import type { ExpertTensors } from './part-tensors';
import { patchTensors } from '../patch/symbolic-patch';
import type { RunningCosts } from './tapped-part';
import {
  compressedLinears,
  compressedNorms,
  compressedTensors,
} from '../parts/compressed/find-compressed';
import { connectionTensors } from '../parts/streams/connection';
import type { TransformerLayout } from './transformer-layout';
import type { TransformerSublayer } from './transformer-sublayer';

/** Every tensor of a sublayer, norms and biases included, or what `tensorsOf` tells of its parts. */
export function sublayerTensors(
  sublayer: TransformerSublayer,
  tensorsOf = partTensors,
): readonly LazyTensor[] {
  const { norm, postNorm, layerScale, sumNorms = [], connection } = sublayer.weights;
  const linears = sublayerLinears(sublayer);
  const parts = [norm, ...innerNorms(sublayer), ...linears, postNorm, ...sumNorms];
  return [
    ...parts.flatMap((part) => tensorsOf(part)),
    ...(layerScale === undefined ? [] : [layerScale]),
    ...connectionTensors(connection),
    ...otherTensors(sublayer),
    ...endTensors(sublayer.ends, tensorsOf),
  ];
}

/** The sublayer up to its sum: without the norms and ends of blocks that stay when it goes. */
export function upToSum<Sublayer extends TransformerSublayer>(sublayer: Sublayer): Sublayer {
  return { ...sublayer, ends: [], weights: { ...sublayer.weights, sumNorms: [] } };
}

/** Tensors of what stays when a sublayer goes: norms of its sum, and ends of blocks. */
export function stayingTensors({ weights, ends }: TransformerSublayer): readonly LazyTensor[] {
  return [...(weights.sumNorms ?? []).flatMap((norm) => partTensors(norm)), ...endTensors(ends)];
}

function innerNorms({ kind, weights }: TransformerSublayer): readonly (Norm | undefined)[] {
  switch (kind) {
    case 'attention':
      return [
        weights.queryKeyNorms?.query,
        weights.queryKeyNorms?.key,
        weights.latentNorms?.query,
        weights.latentNorms?.keyValue,
        weights.innerNorm,
        weights.othersKeys?.norm,
        weights.othersKeys?.keyNorm,
        weights.shared?.norm,
        ...compressedNorms(weights.compressed),
      ];
    case 'mixer':
      return weights.norms;
    case 'feedforward':
      return [weights.innerNorm];
    case 'expert':
      return [weights.apart?.norm, weights.apart?.postNorm, weights.apart?.sharedPostNorm];
    case 'patch':
      return [];
  }
}

/** Tensors that are neither norms nor linear layers. */
function otherTensors(sublayer: TransformerSublayer): LazyTensor[] {
  switch (sublayer.kind) {
    case 'attention':
      return [
        sublayer.weights.sinks,
        sublayer.weights.addedBiases?.query,
        sublayer.weights.addedBiases?.value,
        sublayer.weights.valueConvolution,
        sublayer.weights.gridBias?.table,
        sublayer.weights.distanceBias?.table,
        ...(sublayer.weights.difference?.factors ?? []),
        ...biasGateTensors(sublayer.weights.biasGate),
        ...compressedTensors(sublayer.weights.compressed),
      ].filter((tensor) => tensor !== undefined);
    case 'mixer':
      return [...convolutionTensors(sublayer.weights), ...sublayer.weights.tensors];
    case 'feedforward':
      return xieluTensors(sublayer.weights.curve);
    case 'expert':
      return [
        ...sublayer.weights.routerBias,
        ...sublayer.weights.choiceBias,
        ...sublayer.weights.shareFactors,
        ...(sublayer.weights.apart === undefined ? [] : [sublayer.weights.apart.routerScale]),
        ...[sublayer.weights.byToken, sublayer.weights.sumBias].filter(
          (tensor) => tensor !== undefined,
        ),
      ];
    case 'patch':
      return patchTensors(sublayer.patch);
  }
}

const convolutionTensors = ({ convolutions }: MixerParts): LazyTensor[] =>
  convolutions.flatMap(({ weight, bias }) => [weight, ...(bias === undefined ? [] : [bias])]);

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

/** Those costs with those of what tokens bring to the ends of blocks, and of other streams. */
export function withPerLayer(
  costs: RunningCosts,
  { perLayer, startEnds, altUp }: Pick<TransformerLayout, 'perLayer' | 'startEnds' | 'altUp'>,
): RunningCosts {
  const others =
    perLayer === undefined
      ? []
      : [
          lookupCosts(perLayer.table),
          costsOf(
            [...storedTensors(perLayer.projection), ...partTensors(perLayer.norm)],
            [perLayer.projection],
          ),
        ];
  const enter = altUp?.enter ?? [];
  const all = [
    costs,
    ...others,
    costsOf(
      enter.flatMap((linear) => storedTensors(linear)),
      enter,
    ),
    costsOf(endTensors(startEnds, storedTensors), []),
  ];
  return {
    ...costs,
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    mappedBytes: all.reduce((sum, { mappedBytes = 0 }) => sum + mappedBytes, 0),
  };
}

/** Whether ONNX Runtime reads the numbers where they lie. */
function isMapped({ dtype, packed, interleavedHeads }: LazyTensor): boolean {
  return dtype === 'F32' && packed === undefined && interleavedHeads === undefined;
}

/** Every linear layer of a sublayer. */
export function sublayerLinears({ kind, weights }: TransformerSublayer): readonly Linear[] {
  switch (kind) {
    case 'attention':
      return [
        ...weights.queryKeyValue,
        ...(weights.othersKeys?.keyValue ?? []),
        ...linearIfAny(weights.relative?.own?.query),
        ...linearIfAny(weights.relative?.own?.key),
        ...linearIfAny(weights.gate),
        ...sharedPartLinears(weights.shared),
        ...compressedLinears(weights.compressed),
        weights.output,
      ];
    case 'mixer':
      return weights.linears;
    case 'feedforward':
      return [...weights.gateUp, weights.down];
    case 'expert':
      return [
        ...weights.router.map((weight) => ({ weight })),
        ...weights.experts.flatMap(expertLinears),
        ...sharedLinears(weights),
      ];
    case 'patch':
      return [];
  }
}

/** Of the expert that every token is sent to. */
export function sharedLinears({ shared }: ExpertWeights): readonly Linear[] {
  return shared === undefined ? [] : [...expertLinears(shared), ...linearIfAny(shared.gate)];
}

const linearIfAny = (linear: Linear | undefined): Linear[] =>
  linear === undefined ? [] : [linear];

/**
 * Undefined where no single expert can be removed: the router's rows must lie one after the other, groups of
 * experts must stay equal, and the family must allow it.
 */
export function expertTensors(sublayer: TransformerSublayer): ExpertTensors | undefined {
  if (sublayer.kind !== 'expert') {
    return undefined;
  }
  const { router: pieces, routerBias, choiceBias, shareFactors } = sublayer.weights;
  const [router] = pieces;
  return router === undefined ||
    router.packed !== undefined ||
    sublayer.shape.groups !== undefined ||
    sublayer.shape.staysWhole ||
    choiceBias.some(({ shape }) => shape.length > 1)
    ? undefined
    : {
        byRow: [router, ...routerBias, ...choiceBias, ...shareFactors],
        experts: sublayer.weights.experts.map((expert) =>
          expertLinears(expert).flatMap((linear) => partTensors(linear)),
        ),
      };
}

function expertLinears({ gateUp, down }: Expert): readonly Linear[] {
  return [...gateUp, down];
}

/** Tensors by which a sublayer adds to the stream: with zeros in them it adds nothing. */
export function outputTensors(sublayer: TransformerSublayer): readonly LazyTensor[] {
  return sublayer.kind === 'patch'
    ? [sublayer.patch.tensors['up.weight'], sublayer.patch.tensors['up.bias']].filter(
        (tensor) => tensor !== undefined,
      )
    : [
        ...outputLinears(sublayer).flatMap(partTensors),
        ...(sublayer.kind === 'expert' && sublayer.weights.sumBias !== undefined
          ? [sublayer.weights.sumBias]
          : []),
      ];
}

function outputLinears({ kind, weights }: TransformerSublayer): readonly Linear[] {
  switch (kind) {
    case 'attention':
      return [weights.output];
    case 'mixer':
      return weights.linears.slice(-1);
    case 'feedforward':
      return [weights.down];
    case 'expert':
      return [...weights.experts, ...(weights.shared === undefined ? [] : [weights.shared])].map(
        ({ down }) => down,
      );
    case 'patch':
      return [];
  }
}

import { runnableDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { endTensors } from '../parts/block-end';
import { partTensors, storedTensors } from './part-tensors';
import { sublayerTensors } from './sublayer-tensors';
import type { TransformerLayout } from './transformer-layout';

/** @throws UserError naming the first tensor whose dtype can be listed but not run. */
export function requireRunnableTensors(used: readonly LazyTensor[]): void {
  const faulty = used.find(({ dtype }) => !runnableDTypes.has(dtype));
  if (faulty !== undefined) {
    throw new UserError(say`Weights of dtype ${faulty.dtype} can be listed but not run.`, {
      file: faulty.file,
      field: faulty.name,
      remedy: say`Save the model in one of ${[...runnableDTypes].join(', ')}.`,
    });
  }
}

/** Every tensor that a decoder is run with, as stored. */
export function usedTensors(layout: TransformerLayout): LazyTensor[] {
  const { embedding, positions, embeddingNorm, startNorms, startEnds, perLayer, altUp } = layout;
  const { projections, finalNorm, head, sublayers } = layout;
  return [
    ...storedTensors(embedding),
    ...(positions !== undefined && 'weight' in positions ? [positions.weight] : []),
    ...partTensors(embeddingNorm),
    ...startNorms.flatMap((norm) => partTensors(norm)),
    ...endTensors(startEnds, storedTensors),
    ...storedTensors(perLayer?.table),
    ...storedTensors(perLayer?.projection),
    ...partTensors(perLayer?.norm),
    ...(altUp?.enter ?? []).flatMap((linear) => storedTensors(linear)),
    ...storedTensors(projections?.in),
    ...storedTensors(projections?.out),
    ...partTensors(finalNorm),
    ...storedTensors(head),
    ...sublayers.flatMap((sublayer) => sublayerTensors(sublayer, storedTensors)),
  ];
}

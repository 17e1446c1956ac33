import { runnableDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { endTensors } from '../parts/block-end';
import { connectionTensors } from '../parts/streams/connection';
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

/** Tensors of what makes the streams in front of the first sublayer, whose numbers are those of no blocks. */
export const streamTensors = ({
  startEnds,
  altUp,
}: Pick<TransformerLayout, 'startEnds' | 'altUp'>): LazyTensor[] => [
  ...endTensors(startEnds, storedTensors),
  ...(altUp?.enter ?? []).flatMap((linear) => storedTensors(linear)),
];

/** Every tensor that a decoder is run with, as stored. */
export function usedTensors(layout: TransformerLayout): LazyTensor[] {
  const { embedding, positions, embeddingNorm, startNorms, perLayer } = layout;
  const { projections, finalNorm, head, sublayers, streams } = layout;
  // Of integers, as it was seen when it was found.
  const tables = sublayers.map((one) => (one.kind === 'expert' ? one.weights.byToken : undefined));
  return [
    ...storedTensors(embedding),
    ...(positions !== undefined && 'weight' in positions ? [positions.weight] : []),
    ...partTensors(embeddingNorm),
    ...startNorms.flatMap((norm) => partTensors(norm)),
    ...streamTensors(layout),
    ...storedTensors(perLayer?.table),
    ...storedTensors(perLayer?.projection),
    ...partTensors(perLayer?.norm),
    ...storedTensors(projections?.in),
    ...storedTensors(projections?.out),
    ...connectionTensors(streams?.head),
    ...partTensors(finalNorm),
    ...storedTensors(head),
    ...sublayers.flatMap((sublayer, i) =>
      sublayerTensors(sublayer, storedTensors).filter((tensor) => tensor !== tables[i]),
    ),
  ];
}

import { runnableDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { runningCosts, lookupCosts } from '../modules/costs';
import { endTensors } from '../parts/block-end';
import { connectionTensors } from '../parts/streams/hyper-connections';
import { partTensors, storedTensors } from './part-tensors';
import type { RunningCosts } from './tapped-part';
import type { TransformerLayout } from './transformer-layout';

/** @throws UserError naming the first tensor whose dtype can be listed but not run. */
export function requireRunnableTensors(used: readonly LazyTensor[]): void {
  const faulty = used.find(({ dtype }) => !runnableDTypes.has(dtype));
  if (faulty !== undefined) {
    throw new UserError(
      'dtype-not-runnable',
      say`Weights of dtype ${faulty.dtype} can be listed but not run.`,
      {
        file: faulty.file,
        field: faulty.name,
        remedy: say`Save the model in one of ${[...runnableDTypes].join(', ')}.`,
      },
    );
  }
}

/** Tensors that create the streams before the first sublayer; numbers in their names are not block numbers. */
export const streamTensors = ({
  startEnds,
  altUp,
}: Pick<TransformerLayout, 'startEnds' | 'altUp'>): LazyTensor[] => [
  ...endTensors(startEnds, storedTensors),
  ...(altUp?.enter ?? []).flatMap((linear) => storedTensors(linear)),
];

/** Tensors of a decoder outside the sublayers, as stored. */
export function outsideTensors(layout: TransformerLayout): LazyTensor[] {
  const { embedding, startNorms, perLayer, streams, epilogue } = layout;
  return [
    ...embedding.tensors,
    ...startNorms.flatMap((norm) => partTensors(norm)),
    ...streamTensors(layout),
    ...storedTensors(perLayer?.table),
    ...storedTensors(perLayer?.projection),
    ...partTensors(perLayer?.norm),
    ...connectionTensors(streams?.head),
    ...epilogue.tensors,
  ];
}

/** Adds the costs of per-layer embeddings and additional streams. */
export function withPerLayer(
  costs: RunningCosts,
  { perLayer, startEnds, altUp }: Pick<TransformerLayout, 'perLayer' | 'startEnds' | 'altUp'>,
): RunningCosts {
  const others =
    perLayer === undefined
      ? []
      : [
          lookupCosts(perLayer.table),
          runningCosts(
            [...storedTensors(perLayer.projection), ...partTensors(perLayer.norm)],
            [perLayer.projection],
          ),
        ];
  const enter = altUp?.enter ?? [];
  const all = [
    costs,
    ...others,
    runningCosts(
      enter.flatMap((linear) => storedTensors(linear)),
      enter,
    ),
    runningCosts(endTensors(startEnds, storedTensors), []),
  ];
  return {
    ...costs,
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    mappedBytes: all.reduce((sum, { mappedBytes = 0 }) => sum + mappedBytes, 0),
  };
}

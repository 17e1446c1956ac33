import type { BlockEnd } from '../../models/parts/block-end';
import type { StreamMixing } from '../../models/parts/streams/altup';
import { partTensors } from '../../models/transformer/part-tensors';
import type { TransformerLayout } from '../../models/transformer/transformer-layout';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { say, verbatim } from '../../message';
import type { BranchBuilder } from './branch-builder';
import type { Wire } from './flow-builder';

/** The stream that sublayers read, and all of several. */
export interface StreamWires {
  readonly hidden: Wire;
  readonly expected?: Wire | undefined;
}

/** What tokens bring to the ends of blocks, where a model has per-layer embeddings. */
export function perLayerFlow(
  root: BranchBuilder,
  { perLayer }: TransformerLayout,
  ids: Wire,
  embedded: Wire,
): Wire | undefined {
  if (perLayer === undefined) {
    return undefined;
  }
  const { table, projection, norm, blocks, width } = perLayer;
  const [batch = '', sequence = ''] = embedded.shape;
  return root.add('per-layer', 'weights', say`Per-layer embeddings`, [ids, embedded], {
    shape: [batch, sequence, blocks, width],
    tensors: [table, projection, norm].flatMap((part) => partTensors(part)),
  });
}

/** The streams of a model with several, in front of the blocks. */
export function streamsFlow(
  root: BranchBuilder,
  { altUp }: TransformerLayout,
  embedded: Wire,
): Wire | undefined {
  if (altUp === undefined) {
    return undefined;
  }
  const [batch = '', sequence = '', hidden = ''] = embedded.shape;
  return root.add('streams', 'weights', say`Streams side by side`, [embedded], {
    shape: [batch, sequence, altUp.count, hidden],
    tensors: altUp.enter.flatMap((linear) => partTensors(linear)),
  });
}

const mixingTensors = ({ norm, router, coefficients }: StreamMixing): LazyTensor[] =>
  [norm, router, coefficients].flatMap((part) => partTensors(part));

/** What blocks do to the stream around their sublayers. */
export function endsFlow(
  own: BranchBuilder,
  ends: readonly BlockEnd[] = [],
  input: StreamWires,
  brought: Wire | undefined,
): StreamWires {
  return ends.reduce((before, end) => endFlow(own, end, before, brought), input);
}

function endFlow(
  own: BranchBuilder,
  { block, predict, laurel, correct, scale, perLayer, factor, merge }: BlockEnd,
  { hidden, expected }: StreamWires,
  brought: Wire | undefined,
): StreamWires {
  const given = brought === undefined ? [] : [brought];
  const { shape } = hidden;
  if (expected !== undefined && predict !== undefined) {
    const all = own.add(`start.${block}.expected`, 'weights', say`Expected streams`, [expected], {
      tensors: mixingTensors(predict),
    });
    const first = own.add(`start.${block}.first`, 'operator', say`First stream`, [all], { shape });
    return { hidden: first, expected: all };
  }
  if (expected !== undefined && laurel !== undefined) {
    const { norm, left, right, postNorm } = laurel;
    const low = own.add(`end.${block}.laurel`, 'weights', say`Residual of low rank`, [expected], {
      shape,
      tensors: [norm, left, right, postNorm].flatMap((part) => partTensors(part)),
    });
    const sum = own.add(`end.${block}.laurel-sum`, 'combine', verbatim('+'), [hidden, low]);
    return { hidden: own.scale(`end.${block}.laurel-scale`, sum, Math.SQRT1_2), expected };
  }
  if (expected !== undefined && merge !== undefined) {
    const one = own.add('streams-end', 'weights', say`Mean of the streams`, [expected], {
      shape,
      tensors: merge.flatMap((linear) => partTensors(linear)),
    });
    return { hidden: one };
  }
  let stream = hidden;
  if (expected !== undefined && correct !== undefined) {
    stream = own.add(
      `end.${block}.correct`,
      'weights',
      say`Corrected streams`,
      [expected, hidden],
      {
        shape: expected.shape,
        tensors: mixingTensors(correct),
      },
    );
  }
  if (perLayer !== undefined) {
    const { gate, projection, norm } = perLayer;
    const added = own.add(
      `end.${block}.per-layer`,
      'weights',
      say`Per-layer embedding`,
      [stream, ...given],
      {
        shape,
        tensors: [
          ...[gate, projection, norm].flatMap((part) => partTensors(part)),
          ...(scale === undefined ? [] : [scale]),
        ],
      },
    );
    stream = own.add(`end.${block}.sum`, 'combine', verbatim('+'), [stream, added]);
  }
  if (factor !== undefined) {
    stream = own.add(`end.${block}.factor`, 'combine', verbatim('×'), [stream], {
      tensors: [factor],
    });
  }
  return correct === undefined ? { hidden: stream, expected } : { hidden, expected: stream };
}

import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { audioTensors } from '../../models/encoders/audio-embedding';
import type { AudioEmbedding } from '../../models/encoders/audio-embedding';
import { inputsOf } from '../../models/encoders/encoder-embedding';
import type { EncoderModel } from '../../models/encoders/encoder-model';
import type { EncoderLayout } from '../../models/encoders/encoder-layout';
import type { NormStyle } from '../../models/parts/norm';
import { connectionTensors } from '../../models/parts/streams/connection';
import type { Connection } from '../../models/parts/streams/connection';
import { isTied } from '../../models/transformer/outer-matrices';
import { partTensors } from '../../models/transformer/part-tensors';
import type { TransformerLayout } from '../../models/transformer/transformer-layout';
import type { Sublayer } from '../../models/modules/sublayer-list';
import type { TransformerModel } from '../../models/transformer/transformer-model';
import type { StoredTensor } from '../model-description';
import { BranchBuilder } from './branch-builder';
import { attentionFlow, patchFlow, feedforwardFlow } from './branch-flow';
import type { BranchFlow } from './branch-flow';
import { endsFlow, perLayerFlow, streamsFlow } from './ends-flow';
import { compressedFlow } from './parts/compressed-flow';
import type { StreamWires } from './ends-flow';
import { blockLabel, FlowBuilder } from './flow-builder';
import type { Wire } from './flow-builder';
import { foldBlocks } from './fold-blocks';
import type { Foldable } from './fold-blocks';
import { expertFlow } from './expert-flow';
import { mixerFlow } from './mixer-flow';
import { signatureOf } from './signature';
import type { Flow, FlowGroup, FlowItem } from './flow-document';
import { counted, say, verbatim } from '../../message';
import type { Message } from '../../message';

const rows = ['batch', 'sequence'] as const;

/** The flow of a decoder that the architecture table tells. */
export function transformerFlow(
  { layout }: Pick<TransformerModel, 'layout'>,
  tensors: readonly StoredTensor[],
): Flow {
  const { attention, embedding, positions, scales, head, finalNorm, vocabularySize } = layout;
  const flow = new FlowBuilder(tensors);
  const root = new BranchBuilder(flow, 'model');
  const shape = [...rows, attention.hiddenSize];
  const ids = root.add('input_ids', 'input', say`Token ids`, [], { shape: rows });
  const words = root.add('embedding', 'weights', say`Embedding`, [ids], {
    shape,
    tensors: partTensors(embedding),
    detail: counted(vocabularySize, 'token'),
  });
  let stream = root.scale('embedding-scale', words, scales.embedding);
  if (positions !== undefined) {
    const numbers = root.add('position_ids', 'input', say`Positions`, [], { shape: rows });
    const learned =
      'weight' in positions
        ? root.add('positions', 'weights', say`Position embedding`, [numbers], {
            shape,
            tensors: [positions.weight],
          })
        : root.add('positions', 'operator', say`Sines of positions`, [numbers], { shape });
    stream = root.add('position-sum', 'combine', verbatim('+'), [stream, learned]);
  }
  stream = root.norm('embedding-norm', attention.norm, stream, layout.embeddingNorm);
  const brought = perLayerFlow(root, layout, ids, stream);
  const embedded = stream;
  stream = root.norms('start-norms', attention.norm, stream, layout.startNorms);
  const spread =
    layout.streams === undefined
      ? stream
      : root.add('streams', 'operator', say`Streams side by side`, [stream], {
          shape: [...rows, layout.streams.count, attention.hiddenSize],
        });
  const streams = { hidden: spread, expected: streamsFlow(root, layout, stream) };
  const first = endsFlow(root, layout.startEnds, streams, brought);
  const blocks = blocksOf(flow, { ...layout, brought, embedded }, first, true);
  root.items.push(...blocks.items);
  const one = sumOfStreams(root, 'streams-end', blocks.out, layout.streams?.head);
  const normed = root.norm('final-norm', attention.norm, one, finalNorm);
  const isShared = isTied(embedding, head);
  const logits = root.add('head', 'weights', say`Output head`, [normed], {
    shape: [...rows, vocabularySize],
    tensors: partTensors(head),
    detail: isShared ? say`shares the embedding` : undefined,
  });
  if (isShared) {
    flow.share(words.from, logits.from);
  }
  const scaled = root.scale('logit-scale', logits, scales.logits);
  const cap = scales.logitSoftCap;
  const capped =
    cap === undefined
      ? scaled
      : root.add('logit-cap', 'operator', say`Soft cap`, [scaled], {
          detail: verbatim(`± ${cap}`),
        });
  root.add('logits', 'output', say`Logits`, [capped]);
  return { source: 'architecture', items: root.items, edges: flow.edges, omitted: 0 };
}

/** What is read of streams that are mixed; the stream itself where there is one. */
function sumOfStreams(
  own: BranchBuilder,
  name: string,
  streams: Wire,
  connection: Connection | undefined,
): Wire {
  const [batch = '', sequence = '', , hidden = ''] = streams.shape;
  return connection === undefined
    ? streams
    : own.add(name, 'weights', say`Weighted sum of the streams`, [streams], {
        shape: [batch, sequence, hidden],
        tensors: connectionTensors(connection),
      });
}

/** The flow of an encoder that the architecture table tells. */
export function encoderFlow(
  { layout, output }: Pick<EncoderModel, 'layout' | 'output'>,
  tensors: readonly StoredTensor[],
): Flow {
  const { norm, finalNorm, head } = layout;
  const flow = new FlowBuilder(tensors);
  const root = new BranchBuilder(flow, 'model');
  const embedded = encoderEmbedding(root, layout);
  const blocks = blocksOf(flow, layout, { hidden: embedded }, layout.causal);
  root.items.push(...blocks.items);
  let x = root.norm('final-norm', norm, blocks.out, finalNorm);
  if (head !== undefined && head.reads !== 'all') {
    const [batch = '', , width = ''] = x.shape;
    const { label, times } = pooled[head.reads];
    x = root.add('first', 'operator', label, [x], {
      shape: [batch, typeof width === 'number' ? times * width : width],
    });
    x = root.norm('head-norm', norm, x, head.norm);
  }
  for (const [i, step] of (head?.steps ?? []).entries()) {
    const isShared =
      layout.embedding.kind === 'text' && isTied(layout.embedding.words, step.linear);
    x = root.add(`head.${i}`, 'weights', say`Output head`, [x], {
      shape: [...x.shape.slice(0, -1), step.linear.weight.shape[0] ?? '?'],
      tensors: partTensors(step.linear),
      detail: isShared ? say`shares the embedding` : undefined,
    });
    if (isShared) {
      flow.share('model/words', x.from);
    }
    if (step.activation !== undefined) {
      x = root.add(`head.${i}.activation`, 'operator', verbatim(step.activation), [x]);
    }
    x = root.norm(`head.${i}.norm`, norm, x, step.norm);
  }
  root.add('output', 'output', verbatim(output.name), [x]);
  return { source: 'architecture', items: root.items, edges: flow.edges, omitted: 0 };
}

/** What heads read besides all positions, and how many times as wide as the stream that is. */
const pooled = {
  first: { label: say`First position`, times: 1 },
  last: { label: say`Last position`, times: 1 },
  end: { label: say`End of the text`, times: 1 },
  mean: { label: say`Mean of positions`, times: 1 },
  'mean-of-two': { label: say`Mean of the first two positions`, times: 1 },
  'first-and-mean': { label: say`First position, mean of patches`, times: 2 },
} as const;

function encoderEmbedding(
  root: BranchBuilder,
  { embedding, startNorms, norm, attention }: EncoderLayout,
): Wire {
  const shape = [...rows, attention.hiddenSize];
  const [input] = inputsOf(embedding);
  if (embedding.kind === 'audio') {
    return root.norms('norm', norm, audioFlow(root, embedding, shape, norm), startNorms);
  }
  if (embedding.kind === 'image') {
    const label = embedding.isSpectrogram ? say`Spectrogram` : say`Pixels`;
    const pixels = root.add(input?.name ?? '', 'input', label, [], { shape: input?.shape ?? [] });
    const [, , ...patch] = embedding.patches.weight.shape;
    const patches = root.add('patches', 'weights', say`Patch embedding`, [pixels], {
      shape,
      tensors: partTensors(embedding.patches),
      detail: say`patches of ${patch.join(' × ')}`,
    });
    const weights = (
      name: string,
      label: Message,
      input: Wire,
      tensors: readonly (LazyTensor | undefined)[],
    ): Wire =>
      tensors.every((tensor) => tensor === undefined)
        ? input
        : root.add(name, 'weights', label, [input], { tensors });
    const tokens = weights('class-token', say`Class token in front`, patches, embedding.tokens);
    const positioned = weights('positions', say`Add position embedding`, tokens, [
      embedding.positions,
    ]);
    const all = weights('registers', say`Registers in between`, positioned, [embedding.registers]);
    return root.norms('norm', norm, all, startNorms);
  }
  const lookUp = (
    name: string,
    label: Message,
    input: Wire,
    tensors: readonly LazyTensor[],
  ): Wire => root.add(name, 'weights', label, [input], { shape, tensors });
  const ids = root.add('input_ids', 'input', say`Token ids`, [], { shape: rows });
  const words = root.scale(
    'embedding-scale',
    lookUp('words', say`Embedding`, ids, partTensors(embedding.words)),
    embedding.scale,
  );
  const positions =
    embedding.positions === undefined
      ? []
      : [lookUp('positions', say`Position embedding`, ids, [embedding.positions])];
  const segments =
    embedding.types === undefined
      ? []
      : [
          lookUp(
            'types',
            say`Segment embedding`,
            root.add('token_type_ids', 'input', say`Segments`, [], { shape: rows }),
            [embedding.types],
          ),
        ];
  const added = [...segments, ...positions];
  const sum =
    added.length === 0 ? words : root.add('sum', 'combine', verbatim('+'), [words, ...added]);
  const { projection } = embedding;
  const projected =
    projection === undefined
      ? sum
      : root.add(
          'projection',
          'weights',
          say`Projection`,
          [root.norm('projection-norm', norm, sum, projection.norm)],
          { shape, tensors: partTensors(projection.linear) },
        );
  return root.norms('norm', norm, projected, startNorms);
}

/** From samples to the first norm of the stream. */
function audioFlow(
  root: BranchBuilder,
  embedding: AudioEmbedding,
  shape: Wire['shape'],
  norm: NormStyle,
): Wire {
  const { convolutions, projection, positions } = audioTensors(embedding);
  const samples = root.add('input_values', 'input', say`Samples`, [], {
    shape: ['batch', 'samples'],
  });
  const channels = root.add('convolutions', 'weights', say`Convolutions over time`, [samples], {
    shape: [...rows, projection.linear.weight.shape[1] ?? '?'],
    tensors: convolutions,
    detail: say`one frame for ${embedding.convolutions.reduce((all, { stride }) => all * stride, 1)} samples`,
  });
  const projected = root.add(
    'projection',
    'weights',
    say`Projection`,
    [root.norm('projection-norm', norm, channels, projection.norm)],
    { shape, tensors: partTensors(projection.linear) },
  );
  const places = root.add('positions', 'weights', say`Convolution for positions`, [projected], {
    shape,
    tensors: positions,
  });
  return root.add('position-sum', 'combine', verbatim('+'), [projected, places]);
}

/** What a model's blocks are made of, decoder or encoder. */
type Blocks = Pick<TransformerLayout, 'attention' | 'feedforward' | 'sublayers'> &
  Partial<Pick<TransformerLayout, 'rotaries' | 'slopes'>> & {
    /** What tokens bring to the ends of blocks. */
    readonly brought?: Wire | undefined;
    /** What the embedding gives. */
    readonly embedded?: Wire;
    /** What an encoder gives. */
    readonly encoded?: Wire;
    readonly gatedBias?: EncoderLayout['gatedBias'];
    readonly distanceBias?: EncoderLayout['distanceBias'];
  };

/** The blocks of a model, one after the other, and the stream behind them. */
export function blocksOf(
  flow: FlowBuilder,
  layout: Blocks,
  first: StreamWires,
  causal: boolean,
): { items: FlowItem[]; out: Wire } {
  const { sublayers } = layout;
  const folds: Foldable[] = [];
  let streams = first;
  for (let at = 0; at < sublayers.length;) {
    const block = sublayers[at]?.block ?? 0;
    let end = at + 1;
    while (sublayers[end]?.block === block) {
      end++;
    }
    const edgesBefore = flow.edges.length;
    const built = blockFlow(flow, layout, sublayers.slice(at, end), streams, causal);
    const edges = flow.edges.slice(edgesBefore);
    folds.push({ group: built.group, signature: signatureOf(built.group, edges, flow.shapes) });
    streams = built.streams;
    at = end;
  }
  return { items: foldBlocks(folds), out: streams.hidden };
}

function blockFlow(
  flow: FlowBuilder,
  layout: Blocks,
  sublayers: readonly Sublayer[],
  before: StreamWires,
  causal: boolean,
): { readonly group: FlowGroup; readonly streams: StreamWires } {
  const { attention, feedforward, rotaries } = layout;
  const block = sublayers[0]?.block ?? 0;
  const { hidden: input } = before;
  const own = new BranchBuilder(flow, `block.${block}`);
  const second = sublayers.findIndex(({ weights }) => weights.parallel !== undefined);
  const [one, other] = sublayers.slice(Math.max(0, second - 1)).map(({ weights }) => weights.norm);
  const shared =
    second > 0 && one?.weight !== undefined && one.weight === other?.weight
      ? own.norm('norm', attention.norm, input, one)
      : undefined;
  const parallel = sublayers[second]?.weights.parallel;
  let streams = before;
  for (const [i, sublayer] of sublayers.entries()) {
    const isBeside = second > 0 && (i === second || i === second - 1);
    const { connection } = sublayer.weights;
    const source =
      isBeside && parallel === 'input'
        ? input
        : sumOfStreams(own, `${sublayer.kind}-read`, streams.hidden, connection);
    const normed = isBeside ? shared : undefined;
    const branch = new BranchBuilder(flow, sublayer.id);
    const built = ((): BranchFlow => {
      switch (sublayer.kind) {
        case 'attention': {
          const rotary = sublayer.rotary === undefined ? undefined : rotaries?.get(sublayer.rotary);
          const { slidingWindow } = sublayer;
          const context = sublayer.isCross
            ? { rotary, slidingWindow, causal: false, encoded: layout.encoded }
            : {
                rotary,
                slidingWindow,
                causal,
                biasTable: (layout.gatedBias ?? layout.distanceBias)?.table,
                slopes: layout.slopes,
                sharing: layout.embedded && {
                  embedded: layout.embedded,
                  activation: feedforward.activation,
                },
              };
          const { shape, weights } = sublayer;
          const { compressed } = weights;
          return compressed === undefined
            ? attentionFlow(branch, shape, weights, context, source, normed)
            : compressedFlow(branch, shape, { ...weights, compressed }, context, source);
        }
        case 'mixer':
          return mixerFlow(branch, sublayer.shape, sublayer.weights, source, normed);
        case 'feedforward':
          return feedforwardFlow(branch, sublayer.shape, sublayer.weights, source, normed);
        case 'expert':
          return expertFlow(flow, branch, sublayer.shape, sublayer.weights, source);
        case 'patch':
          return patchFlow(branch, sublayer.patch, source);
      }
    })();
    own.items.push(built.group);
    const { kind, weights } = sublayer;
    const stays = isBeside && parallel === 'sum' ? input : streams.hidden;
    const kept = own.scale(`${kind}-stream-scale`, stays, weights.streamFactor ?? 1);
    const label = connection === undefined ? verbatim('+') : say`Mix the streams`;
    const sum = own.add(`${kind}-sum`, 'combine', label, [kept, built.out]);
    const hidden = own.norms(`${kind}-sum-norm`, attention.norm, sum, weights.sumNorms);
    streams = endsFlow(own, sublayer.ends, { ...streams, hidden }, layout.brought);
  }
  const group: FlowGroup = {
    id: `block.${block}`,
    kind: 'block',
    row: `block.${block}`,
    label: blockLabel(block),
    children: own.items,
  };
  return { group, streams };
}

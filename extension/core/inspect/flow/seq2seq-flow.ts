import type { Seq2SeqLayout, Tower } from '../../models/seq2seq/seq2seq-layout';
import type { Seq2SeqModel } from '../../models/seq2seq/seq2seq-model';
import { isTied } from '../../models/transformer/outer-matrices';
import { partTensors } from '../../models/transformer/part-tensors';
import type { StoredTensor } from '../model-description';
import { say, verbatim } from '../../message';
import { BranchBuilder } from './branch-builder';
import { FlowBuilder } from './flow-builder';
import type { Wire } from './flow-builder';
import type { Flow } from './flow-document';
import { blocksOf } from './layout-flow';

/** The flow of an encoder and the decoder behind it. */
export function seq2seqFlow(
  { layout, output }: Pick<Seq2SeqModel, 'layout' | 'output'>,
  tensors: readonly StoredTensor[],
): Flow {
  const { norm, encoder, decoder, targetWords, head, scales } = layout;
  const flow = new FlowBuilder(tensors);
  const root = new BranchBuilder(flow, 'model');
  const source = blocksOf(flow, encoder, { hidden: sourceFlow(root, layout) }, false);
  root.items.push(...source.items);
  const encoded = root.norm('encoder-norm', norm, source.out, encoder.finalNorm);
  const first = wordsFlow(
    root,
    { ...layout, words: targetWords },
    decoder,
    'decoder_input_ids',
    'target_sequence',
  );
  const target = blocksOf(flow, { ...decoder, encoded }, { hidden: first }, true);
  root.items.push(...target.items);
  let x = root.norm('final-norm', norm, target.out, decoder.finalNorm);
  if (head !== undefined) {
    const scaled = root.scale('head-scale', x, scales.head);
    const isShared = isTied(targetWords, head.linear);
    x = root.add('head', 'weights', say`Output head`, [scaled], {
      shape: [...x.shape.slice(0, -1), head.linear.weight.shape[0] ?? '?'],
      tensors: partTensors(head.linear),
      detail: isShared ? say`shares the embedding` : undefined,
    });
    if (isShared) {
      flow.share('model/decoder_input_ids.words', x.from);
    }
  }
  root.add('output', 'output', verbatim(output.name), [x]);
  return { source: 'architecture', items: root.items, edges: flow.edges, omitted: 0 };
}

function sourceFlow(root: BranchBuilder, layout: Seq2SeqLayout): Wire {
  const { convolutions, spectrogram, encoder, norm } = layout;
  if (convolutions === undefined) {
    return wordsFlow(root, layout, encoder, 'input_ids', 'sequence');
  }
  const [channels, frames] = spectrogram;
  const heard = root.add('input_features', 'input', say`Spectrogram`, [], {
    shape: ['batch', channels, frames],
  });
  const shape = ['batch', frames / 2, encoder.attention.hiddenSize];
  const convolved = root.add('convolutions', 'weights', say`Convolutions`, [heard], {
    shape,
    tensors: convolutions.flatMap((one) => partTensors(one)),
  });
  return root.norms(
    'source-norm',
    norm,
    placed(root, encoder, 'input_features', convolved),
    encoder.start.norms,
  );
}

/** Words and positions of one text. */
function wordsFlow(
  root: BranchBuilder,
  { words, scales, norm }: Seq2SeqLayout,
  tower: Tower,
  name: string,
  length: string,
): Wire {
  const ids = root.add(name, 'input', say`Token ids`, [], { shape: ['batch', length] });
  const rows = root.add(`${name}.words`, 'weights', say`Embedding`, [ids], {
    shape: ['batch', length, tower.attention.hiddenSize],
    tensors: partTensors(words),
  });
  const { wordNorm, norms } = tower.start;
  const scaled = root.scale(`${name}.scale`, rows, scales.embedding);
  const normed = root.norm(`${name}.word-norm`, norm, scaled, wordNorm);
  return root.norms(`${name}.norm`, norm, placed(root, tower, name, normed), norms);
}

function placed(root: BranchBuilder, { start: { positions } }: Tower, name: string, x: Wire): Wire {
  if (positions === undefined) {
    return x;
  }
  const tensors = 'weight' in positions ? [positions.weight] : [];
  return root.add(`${name}.positions`, 'weights', say`Add position embedding`, [x], {
    shape: x.shape,
    tensors,
  });
}

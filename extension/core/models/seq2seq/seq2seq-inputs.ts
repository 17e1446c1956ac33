import type { InputPort } from '../layered-model';
import type { ModelSummary } from '../model-summary';
import type { Seq2SeqLayout } from './seq2seq-layout';

/** What the encoder reads, and what the decoder does. */
export interface Seq2SeqInputs {
  readonly source: readonly InputPort[];
  readonly target: InputPort;
}

const ids = (name: string, length: string): InputPort => ({
  name,
  dtype: 'I64',
  shape: ['batch', length],
});

const textSource = [ids('input_ids', 'sequence'), ids('attention_mask', 'sequence')];
const target = ids('decoder_input_ids', 'target_sequence');

/** @param start what the decoder reads in front of a text, where one tokenizer knows its words */
export function seq2seqInputs(
  { convolutions, spectrogram }: Pick<Seq2SeqLayout, 'convolutions' | 'spectrogram'>,
  { maxPositions, vocabularySize }: ModelSummary,
  start: number | undefined,
): Seq2SeqInputs {
  if (convolutions === undefined) {
    return { source: textSource, target };
  }
  const source = [
    { name: 'input_features', dtype: 'F32', shape: ['batch', ...spectrogram] as const },
  ];
  return start === undefined || maxPositions === undefined || vocabularySize === undefined
    ? { source, target }
    : { source, target: { ...target, transcript: { start, most: maxPositions, vocabularySize } } };
}

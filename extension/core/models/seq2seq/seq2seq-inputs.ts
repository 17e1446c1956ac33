import type { InputPort } from '../layered-model';
import type { ModelSummary } from '../model-summary';
import type { Linear } from '../parts/linear';
import type { Seq2SeqLayout } from './seq2seq-layout';

/** What the encoder reads, and what the decoder does. */
export interface Seq2SeqInputs {
  readonly source: readonly InputPort[];
  readonly target: InputPort;
}

const ids = (name: string, length: string, tableRows?: number): InputPort => ({
  name,
  dtype: 'I64',
  shape: ['batch', length],
  ...(tableRows === undefined ? {} : { tableRows }),
});

const rowCount = ({ weight }: Linear): number => weight.shape[0] ?? 0;

/** @param start what the decoder reads in front of a text, where one tokenizer knows its words */
export function seq2seqInputs(
  {
    convolutions,
    spectrogram,
    words,
    targetWords,
  }: Pick<Seq2SeqLayout, 'convolutions' | 'spectrogram' | 'words' | 'targetWords'>,
  { maxPositions, vocabularySize }: ModelSummary,
  start: number | undefined,
): Seq2SeqInputs {
  const target = ids('decoder_input_ids', 'target_sequence', rowCount(targetWords));
  if (convolutions === undefined) {
    return {
      source: [ids('input_ids', 'sequence', rowCount(words)), ids('attention_mask', 'sequence')],
      target: { ...target, targetStart: start },
    };
  }
  const source = [
    { name: 'input_features', dtype: 'F32', shape: ['batch', ...spectrogram] as const },
  ];
  return start === undefined || maxPositions === undefined || vocabularySize === undefined
    ? { source, target }
    : { source, target: { ...target, transcript: { start, most: maxPositions, vocabularySize } } };
}

import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { InputPort } from '../layered-model';
import type { NormStyle } from '../parts/norm';
import { partTensors, storedTensors } from '../transformer/part-tensors';
import { audioTensors, emitAudioEmbedding, leastSamples } from './audio-embedding';
import { emitPatches, emitTextEmbedding } from './encoder-inputs';
import type { EncoderEmbedding } from './find-embedding';

const segmentIds = 'token_type_ids';
const samples = 'input_values';

/** Ids of a text, which of them count, and the segment of each. */
const textInputs: readonly InputPort[] = ['input_ids', 'attention_mask', segmentIds].map(
  (name) => ({ name, dtype: 'I64', shape: ['batch', 'sequence'] }),
);

/** Inputs of an encoder. */
export function encoderInputs(embedding: EncoderEmbedding): readonly InputPort[] {
  switch (embedding.kind) {
    case 'text':
      return textInputs.filter(({ name }) => name !== segmentIds || embedding.types !== undefined);
    case 'image': {
      const { image, isSpectrogram } = embedding;
      const [, height, width] = image;
      return [
        isSpectrogram
          ? { name: samples, dtype: 'F32', shape: ['batch', width, height] }
          : { name: 'pixel_values', dtype: 'F32', shape: ['batch', ...image] },
      ];
    }
    case 'audio':
      return [
        {
          name: samples,
          dtype: 'F32',
          shape: ['batch', 'samples'],
          leastSamples: leastSamples(embedding),
        },
      ];
  }
}

/** Emits the embedding of the inputs, up to the first norm of the stream: [batch, sequence, hidden]. */
export function emitEmbedding(
  graph: GraphBuilder,
  embedding: EncoderEmbedding,
  style: NormStyle,
): Value {
  switch (embedding.kind) {
    case 'text':
      return emitTextEmbedding(graph, embedding, style, segmentIds);
    case 'image':
      return emitPatches(graph, embedding, encoderInputs(embedding)[0]?.name ?? '');
    case 'audio':
      return emitAudioEmbedding(graph, embedding, style, samples);
  }
}

/** Every tensor of an embedding that is stored as floats. */
export function embeddingTensors(embedding: EncoderEmbedding): LazyTensor[] {
  const present = (tensors: readonly (LazyTensor | undefined)[]): LazyTensor[] =>
    tensors.filter((tensor) => tensor !== undefined);
  switch (embedding.kind) {
    case 'text':
      return [
        ...storedTensors(embedding.words),
        ...present([embedding.types, embedding.positions]),
        ...embedding.firstRows,
        ...(embedding.joined?.tables ?? []),
        ...storedTensors(embedding.joined?.projection),
        ...storedTensors(embedding.projection?.linear),
        ...storedTensors(embedding.projection?.norm),
      ];
    case 'image':
      return [
        ...partTensors(embedding.patches),
        ...embedding.tokens,
        ...present([embedding.positions, embedding.registers]),
      ];
    case 'audio': {
      const { convolutions, positions, projection } = audioTensors(embedding);
      const { norm, linear } = projection;
      return [
        ...present([...convolutions, ...positions]),
        ...storedTensors(norm),
        ...storedTensors(linear),
      ];
    }
  }
}

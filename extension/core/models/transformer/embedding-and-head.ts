import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { checkEncoding } from '../encodings/check-encoding';
import type { Linear } from '../parts/linear';
import type { MatrixEncoding, EmbeddingOrHead, EmbeddingOrHeadPlace } from '../matrix-encoding';
import { partTensors } from './part-tensors';
import { say } from '../../message';

/** A weight of the LM head. */
interface HeadLinear {
  /** Name of the weight. For a tied head, the name it would have if it were stored. */
  readonly id: string;
  readonly linear: Linear;
}

/** Token embedding, if the model has one, and weights of the LM head in order. */
export interface EmbeddingAndHead {
  readonly embedding: Linear | undefined;
  readonly heads: readonly HeadLinear[];
}

/** True if embedding and head share their storage. */
export function isTied(embedding: Linear | undefined, head: Linear): boolean {
  return embedding?.weight === head.weight && embedding.encoding === head.encoding;
}

/** True if the LM head is only stored as the token embedding. */
export function hasTiedHead({ embedding, heads }: EmbeddingAndHead): boolean {
  return heads.some(({ linear }) => isTied(embedding, linear));
}

/** Descriptions of the embedding and the head for callers outside the model. */
export function describeEmbeddingAndHead({
  embedding,
  heads,
}: EmbeddingAndHead): EmbeddingOrHead[] {
  const tied = heads.find(({ linear }) => isTied(embedding, linear));
  const tableTie = tied === undefined ? {} : { tiedTo: tied.id };
  const headTie = embedding === undefined ? {} : { tiedTo: embedding.weight.name };
  return [
    ...(embedding === undefined
      ? []
      : [{ ...described(embedding.weight.name, 'embedding', embedding), ...tableTie }]),
    ...heads.map((head) => ({
      ...described(head.id, 'head', head.linear),
      ...(head === tied ? headTie : {}),
    })),
  ];
}

function described(
  id: string,
  place: EmbeddingOrHeadPlace,
  { weight, encoding }: Linear,
): EmbeddingOrHead {
  const [out = 0, input = 0] = weight.shape;
  const stored = { weight, transposed: false, ...(encoding === undefined ? {} : { encoding }) };
  return { id, place, out, in: input, ...stored };
}

/** Replaces encodings of embedding and head, by id. */
export function withEmbeddingAndHeadEncodings(
  embeddingAndHead: EmbeddingAndHead,
  forms: ReadonlyMap<string, MatrixEncoding>,
): EmbeddingAndHead {
  const changed = (id: string, linear: Linear): Linear => {
    const encoding = forms.get(id);
    return encoding === undefined ? linear : { ...linear, encoding };
  };
  const { embedding, heads } = embeddingAndHead;
  return {
    embedding: embedding && changed(embedding.weight.name, embedding),
    heads: heads.map(({ id, linear }) => ({ id, linear: changed(id, linear) })),
  };
}

/**
 * Checks an encoding like {@link checkEncoding}, and that rows of the embedding can be read
 * individually.
 * @param file file that describes the encoding, for errors
 */
export function checkEmbeddingOrHeadEncoding(
  form: MatrixEncoding,
  matrix: Pick<EmbeddingOrHead, 'id' | 'place' | 'out' | 'in'>,
  file?: string,
): void {
  checkEncoding(form, matrix, file);
  if (matrix.place === 'embedding' && (form.kind === 'low-rank' || form.kind === 'mpo')) {
    throw new UserError(
      'embedding-encoding-unsupported',
      say`The embedding cannot be stored as ${form.kind}.`,
      {
        field: matrix.id,
        ...(file === undefined ? {} : { file }),
        remedy: say`Compress the embedding to int8 or int4.`,
      },
    );
  }
}

/** Distinct tensors of embedding and head, including biases. */
export function embeddingAndHeadTensors(embeddingAndHead: EmbeddingAndHead): LazyTensor[] {
  return [...new Set(embeddingAndHeadLinears(embeddingAndHead).flatMap(partTensors))];
}

export function embeddingAndHeadLinears({ embedding, heads }: EmbeddingAndHead): Linear[] {
  return [...(embedding === undefined ? [] : [embedding]), ...heads.map(({ linear }) => linear)];
}

import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import type {
  LinearLayer,
  MatrixEncoding,
  ModelMatrix,
  EmbeddingOrHead,
  EmbeddingOrHeadPlace,
} from '../../../extension/core/models/matrix-encoding';
import { factorize } from '../../../extension/core/tensornet/mpo';
import { contracted, FormMaker } from '../models/encodings/made-forms';

type Maker = (maker: FormMaker, out: number, input: number) => MatrixEncoding<TensorData>;

const blocks =
  (bits: 4 | 8, asymmetric: boolean, run: 'matmul-nbits' | 'qdq'): Maker =>
  (maker, out, input) =>
    maker.blocks(out, input, { bits, groupSize: 16, run, asymmetric });

const mpo =
  (sites: number, run: 'contracted' | 'chained', scaled: boolean): Maker =>
  (maker, out, input) =>
    maker.mpo({ out: factorize(out, sites), in: factorize(input, sites) }, 4, run, scaled);

/** Every form that is stored, by a name of its own. */
export const formMakers = {
  'low rank': (maker, out, input) => maker.lowRank(out, input, 6),
  'mpo, contracted': mpo(2, 'contracted', true),
  'mpo, chained': mpo(3, 'chained', true),
  int4: blocks(4, false, 'matmul-nbits'),
  'int4, asymmetric': blocks(4, true, 'matmul-nbits'),
  'int4, portable': blocks(4, true, 'qdq'),
  'int8 in blocks': blocks(8, true, 'matmul-nbits'),
  int8: (maker, out, input) => maker.int8(out, input),
  'low rank of whole numbers': (maker, out, input) => ({
    kind: 'low-rank',
    rank: 16,
    left: maker.blocks(out, 16, { bits: 4, groupSize: 16, run: 'matmul-nbits' }),
    right: maker.int8(16, input),
  }),
} satisfies Readonly<Record<string, Maker>>;
export type FormName = keyof typeof formMakers;
export const formNames = Object.keys(formMakers) as FormName[];

/** A form for each layer, the kinds taken in turn; the same in every run. */
export function formsInTurn(
  layers: readonly LinearLayer[],
  names: readonly FormName[] = formNames,
): Map<string, MatrixEncoding<TensorData>> {
  return new Map(
    layers.map(({ id, out, in: input }, i) => [
      id,
      formMakers[names[i % names.length] ?? 'int8'](new FormMaker(i + 1, 0.15), out, input),
    ]),
  );
}

/** Encoding of the embedding and the head. */
export type EmbeddingAndHeadForms = Readonly<Partial<Record<EmbeddingOrHeadPlace, FormName>>>;

/** Forms of embedding and head, by id: one form where both are one matrix and take the same. */
export function formsOutside(
  matrices: readonly EmbeddingOrHead[],
  names: EmbeddingAndHeadForms,
): Map<string, MatrixEncoding<TensorData>> {
  const forms = new Map<string, MatrixEncoding<TensorData>>();
  for (const { id, place, out, in: input, tiedTo } of matrices) {
    const name = names[place];
    const shared = names.embedding === names.head ? forms.get(tiedTo ?? '') : undefined;
    if (name !== undefined) {
      forms.set(id, shared ?? formMakers[name](new FormMaker(forms.size + 99, 0.05), out, input));
    }
  }
  return forms;
}

/** Dense weights equal to the encodings. */
export function denseValues(
  forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
  layers: readonly ModelMatrix[],
): Map<string, MatrixEncoding<TensorData>> {
  const values = new Map<MatrixEncoding<TensorData>, MatrixEncoding<TensorData>>();
  const pickValue = (
    form: MatrixEncoding<TensorData>,
    shape: number[],
  ): MatrixEncoding<TensorData> => {
    const bytes = new Uint8Array(contracted(form).buffer);
    const dense = values.get(form) ?? { kind: 'dense', weight: { dtype: 'F32', shape, bytes } };
    values.set(form, dense);
    return dense;
  };
  return new Map(
    layers.flatMap(({ id, out, in: input }) => {
      const form = forms.get(id);
      return form === undefined ? [] : [[id, pickValue(form, [out, input])]];
    }),
  );
}

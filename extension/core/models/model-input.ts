/** Values of an input; float16 as its bits. */
export interface ExampleValue {
  /** Element type with its safetensors name, if it has one. */
  readonly dtype: string;
  readonly dims: readonly number[];
  readonly data:
    | Float32Array
    | Float64Array
    | Int8Array
    | Uint8Array
    | Int16Array
    | Uint16Array
    | Int32Array
    | Uint32Array
    | BigInt64Array
    | BigUint64Array;
}

/** One example, a batch of one: the values of a model's inputs by name. */
export type Example = Readonly<Record<string, ExampleValue>>;

/** Token ids of a question and its answer; only the answer is scored. */
export class AnsweredIds extends Int32Array {
  /** Parts and copies are plain ids. */
  public static get [Symbol.species](): Int32ArrayConstructor {
    return Int32Array;
  }

  /** @param answerFrom index of the first token of the answer, at least 1 */
  public constructor(
    ids: Int32Array,
    public readonly answerFrom: number,
  ) {
    super(ids);
  }
}

/** Input of a model: token ids of one sequence, or the values of all inputs. */
export type ModelInput = Int32Array | Example;

/** Token ids of a text, or of an example with token ids, such as a transcript. */
export function idsIn(input: ModelInput): Int32Array | undefined {
  if (input instanceof Int32Array) {
    return input;
  }
  const { decoder_input_ids: written, input_ids: ids = written } = input;
  return ids === undefined ? undefined : Int32Array.from(ids.data, Number);
}

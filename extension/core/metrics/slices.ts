import { AnsweredIds } from '../models/model-input';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { rowsOf } from '../runtime/tensors';
import type { HiddenState, Tensors } from '../runtime/tensors';

/**
 * Rows `from` to `to` of one calibration sequence: tokens of a language model. What comes behind `to`
 * is not run, which takes a causal model; others have slices of whole sequences alone.
 */
export interface Slice {
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
}

/** Rows of the first slice: what everything is measured on before anything is measured on more. */
export const firstRows = 64;

/**
 * The first sequence in prefixes that double, where the model is causal; then the others as a whole. Of several
 * texts, the first rows of each come first.
 * @param texts how many there are; the first sequence of each is among the first ones
 */
export function slicesOf(rows: readonly number[], isCausal: boolean, texts = 1): Slice[] {
  const [heads, rests]: [Slice[], Slice[]] = [[], []];
  for (const [sequence, all] of rows.entries()) {
    for (let from = 0; from < all;) {
      const isCut = isCausal && (sequence === 0 || (sequence < texts && from === 0));
      const to = Math.min(all, isCut ? Math.max(firstRows, 2 * from) : all);
      (sequence < texts && from === 0 ? heads : rests).push({ sequence, from, to });
      from = to;
    }
  }
  return [...heads, ...rests];
}

/**
 * Rows whose terms are kept as one sum. Terms of neighbouring tokens depend on each other a little, so
 * larger blocks tell their spread more truly, but later: four lose no best candidate where measured.
 */
export const blockRows = 4;

/** Sequences that a look is spread over, where prefixes can be run. */
const sequencesPerLook = 4;

/**
 * All rows in looks. Each look is measured where those before it tell too little: prefixes of the first
 * sequences that double, {@link firstRows} to begin with, then the other sequences one by one. Of as many
 * tokens, those of four texts tell a ratio of two changes more surely than those of one (0.20 instead of 0.29).
 */
export function looksOf(rows: readonly number[], isCausal: boolean): Slice[][] {
  const spread = isCausal ? Math.min(sequencesPerLook, rows.length) : 0;
  const least = blockRows * Math.ceil(firstRows / spread / blockRows);
  const looks: Slice[][] = [];
  for (let from = 0, to = least; spread > 0; from = to, to *= 2) {
    const look = rows
      .slice(0, spread)
      .flatMap((all, sequence) => (from < all ? [{ sequence, from, to: Math.min(all, to) }] : []));
    if (look.length === 0) {
      break;
    }
    looks.push(look);
  }
  rows.slice(spread).forEach((to, i) => looks.push([{ sequence: spread + i, from: 0, to }]));
  return looks;
}

/** A candidate's sums of terms over blocks of {@link blockRows} rows of a slice, the last maybe shorter. */
export type BlockTerms = readonly number[];

/** @param terms a term per row */
export function blockTerms(terms: Float32Array): BlockTerms {
  const blocks: number[] = [];
  for (let start = 0; start < terms.length; start += blockRows) {
    blocks.push(terms.subarray(start, start + blockRows).reduce((sum, term) => sum + term, 0));
  }
  return blocks;
}

/** Tokens of an input whose first ones can be run without those behind them; 0 where they cannot, or end before an answer. */
export function prefixTokens(model: LayeredModel, input: ModelInput): number {
  const { emitter, output } = model;
  const isCausal = emitter !== undefined && output.seesWhole !== true;
  const isText = input instanceof Int32Array && !(input instanceof AnsweredIds);
  return isCausal && isText ? input.length : 0;
}

/** Cuts states of causal models down to their first tokens. */
export class Prefixes {
  private readonly byLength = new Map<number, Tensors>();
  private readonly byText = new WeakMap<Int32Array, Map<number, Tensors>>();

  public constructor(private readonly executor: LayeredExecutor) {}

  /** The state of the first `tokens` of an input, given that of at least so many. */
  public async cut(input: ModelInput, state: HiddenState, tokens: number): Promise<HiddenState> {
    const { values } = state;
    const isWhole = tokensOf(state) <= tokens || prefixTokens(this.executor.model, input) === 0;
    return isWhole || !(input instanceof Int32Array)
      ? state
      : {
          values: Object.fromEntries(
            Object.keys(values).map((name) => [name, rowsOf(values, name, 0, tokens)]),
          ),
          side: await this.sideOf(input, tokens),
        };
  }

  /** Side values of the first tokens, which depend on their number alone where examples can be joined. */
  private async sideOf(input: Int32Array, tokens: number): Promise<Tensors> {
    const sides = this.executor.model.prologue.joinsExamples ? this.byLength : this.sidesOf(input);
    const side = sides.get(tokens) ?? (await this.executor.embed(input.slice(0, tokens))).side;
    sides.set(tokens, side);
    return side;
  }

  private sidesOf(input: Int32Array): Map<number, Tensors> {
    const sides = this.byText.get(input) ?? new Map<number, Tensors>();
    this.byText.set(input, sides);
    return sides;
  }
}

/** Tokens of a state of a causal model, [1, tokens, hidden]. */
export function tokensOf({ values }: HiddenState): number {
  return Math.max(0, ...Object.values(values).map(({ dims }) => dims[1] ?? 1));
}

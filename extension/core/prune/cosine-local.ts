import type { CandidateDistance } from './layer-profile';
import { floatsIn } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import type { CosineSums, OriginalObserver, ScorerSetup, SublayerObserver } from './scorer';

/** Rank of [batch, sequence, hidden]. A residual stream of higher rank, such as an image's, counts as one vector. */
const tokenRank = 3;

/**
 * Mean over tokens of 1 − cos(x, x + f(x)) for each sublayer's input and output (LLM-Drop; block influence of
 * ShortGPT). Needs only the original run, but doesn't measure the logits.
 */
export class CosineLocal implements OriginalObserver {
  private readonly known: { readonly sums: number[]; readonly tokens: number[] };

  public constructor(private readonly setup: Pick<ScorerSetup, 'executor'>) {
    const { sublayers } = setup.executor.model.summary;
    this.known = { sums: sublayers.map(() => 0), tokens: sublayers.map(() => 0) };
  }

  public readonly observe: SublayerObserver = async (index, before, after) => {
    const { model, states } = this.setup.executor;
    const names = model.sublayer(index).streamNames;
    const from = streamTensor(await states.toHost(before), names.before);
    const to = streamTensor(await states.toHost(after), names.after);
    const width = from.dims.length > tokenRank ? from.numbers.length : (from.dims.at(-1) ?? 1);
    if (from.numbers.length !== to.numbers.length) {
      return;
    }
    for (let start = 0; start < from.numbers.length; start += width) {
      let product = 0;
      let squareBefore = 0;
      let squareAfter = 0;
      for (let i = start; i < start + width; i++) {
        const x = from.numbers[i] ?? 0;
        const y = to.numbers[i] ?? 0;
        product += x * y;
        squareBefore += x * x;
        squareAfter += y * y;
      }
      const cosine = product / Math.sqrt(squareBefore * squareAfter);
      this.count(index, Math.max(0, 1 - cosine), 1);
    }
  };

  /** Observed sums. */
  public get sums(): CosineSums {
    return this.known;
  }

  /** Adds sums observed by another worker. */
  public readonly add = ({ sums, tokens }: CosineSums): void => {
    sums.forEach((sum, index) => {
      this.count(index, sum, tokens[index] ?? 0);
    });
  };

  private count(index: number, sum: number, count: number): void {
    const { sums, tokens } = this.known;
    sums[index] = (sums[index] ?? 0) + sum;
    tokens[index] = (tokens[index] ?? 0) + count;
  }

  /** Distances by sublayer, in model order. */
  public distances(): readonly CandidateDistance[] {
    return this.setup.executor.model.summary.sublayers.map(({ id }, index) => ({
      sublayer: id,
      // Streams of different sizes, as between stages, can't be compared: the distance is the maximum.
      distance:
        this.known.tokens[index] === 0
          ? 1
          : (this.known.sums[index] ?? 0) / (this.known.tokens[index] ?? 1),
    }));
  }
}

/** Tensor of a state: the residual stream, or the side value from which it starts. */
function streamTensor(
  { values, side }: HiddenState,
  name: string,
): { numbers: Float32Array; dims: readonly number[] } {
  const tensor = values[name] ?? side[name];
  // Quantized values are meaningless without their scale.
  const isQuantized = tensor?.type === 'uint8' || tensor?.type === 'int8';
  return tensor === undefined || isQuantized
    ? { numbers: new Float32Array(), dims: [] }
    : { numbers: floatsIn(tensor), dims: tensor.dims };
}

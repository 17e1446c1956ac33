import type { OfferedSizes } from '../../core/operations/size-choices';
import { unitsMeant } from '../../core/models/units';
import type { ModelSummary } from '../../core/models/model-summary';
import {
  describeMarks,
  isPossible,
  lossWords,
  mixTitle,
  requantizesAlways,
} from '../../core/pipelines/size-choices';
import type { Round } from '../../core/prune/layer-profile';
import type { OfferedType, PrunedSize } from '../../protocol/frontier';
import type { OpenModels } from '../documents/open-models';

/** Sizes of a model for its most likely runtime, and for llama.cpp if that can load it too. */
export async function offeredSizes(models: OpenModels, path: string): Promise<OfferedSizes[]> {
  const sizes = await models.sizes(path);
  return sizes.runtime !== 'llama.cpp' && sizes.runtimes.includes('llama.cpp')
    ? [sizes, await models.sizes(path, 'llama.cpp')]
    : [sizes];
}

/** Loss that was published of a quantized model. */
interface PublishedLoss {
  /** Nats per token. */
  readonly klDivergence: number;
  /** Perplexity over the original's. */
  readonly perplexityRatio: number;
}

/**
 * Losses of Llama 3 8B in llama.cpp's types, on WikiText-2 (`tools/perplexity/README.md` of llama.cpp, LLaMA 3 8b
 * Scoreboard). IQ4_XS with an importance matrix, all others without.
 */
const publishedLosses: Readonly<Partial<Record<string, PublishedLoss>>> = {
  Q8_0: { klDivergence: 0.001355, perplexityRatio: 1.0004 },
  Q6_K: { klDivergence: 0.005452, perplexityRatio: 1.0035 },
  Q5_K_M: { klDivergence: 0.010762, perplexityRatio: 1.0091 },
  Q4_K_M: { klDivergence: 0.031273, perplexityRatio: 1.0282 },
  IQ4_XS: { klDivergence: 0.036334, perplexityRatio: 1.0366 },
  Q3_K_M: { klDivergence: 0.101913, perplexityRatio: 1.1054 },
  Q2_K: { klDivergence: 0.445132, perplexityRatio: 1.5649 },
};

export function offeredTypes(sizes: OfferedSizes): OfferedType[] {
  const requantizes = requantizesAlways(sizes) ? sizes.quantized : undefined;
  return sizes.choices.map((choice) => {
    const { size, kind, bytes, measured, seconds } = choice;
    const published = publishedLosses[size];
    const known =
      measured === undefined
        ? published && { ...published, isMeasured: false }
        : {
            klDivergence: measured.klDivergence,
            perplexityRatio: measured.perplexityRatio,
            isMeasured: true,
          };
    return {
      ...{ size, mix: kind === 'mix' ? mixTitle(size) : undefined, bytes, seconds, known },
      ...{ loss: lossWords[choice.loss], perplexityRatio: measured?.perplexityRatio },
      ...{ originalBytes: sizes.bytes, requantizes },
      marks: describeMarks(choice, sizes, true),
      isForbidden: !isPossible(choice),
    };
  });
}

/** Sizes after each round of a search. */
export function prunedSizes(rounds: readonly Round[], model: ModelSummary): PrunedSize[] {
  const sublayers = new Map(model.sublayers.map((one) => [one.id, one]));
  const removed = new Set<string>();
  let { bytes } = model;
  return rounds.map(({ removed: candidate, distance }, i) => {
    for (const id of unitsMeant(candidate, model)) {
      const whole = sublayers.get(id);
      const mixture = sublayers.get(id.replace(/\.\d+$/, ''));
      if (!removed.has(id)) {
        bytes -= whole?.bytes ?? mixture?.experts?.bytes ?? 0;
        removed.add(id);
      }
    }
    return { rounds: i + 1, bytes, distance };
  });
}

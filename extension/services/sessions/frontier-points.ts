import type { OfferedSizes } from '../../core/operations/size-choices';
import { unitsMeant } from '../../core/models/units';
import type { ModelSummary } from '../../core/models/model-summary';
import { publishedLosses } from '../../core/pipelines/published-losses';
import { describeMarks, isPossible, lossWords, mixTitle } from '../../core/pipelines/size-choices';
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

export function offeredTypes(sizes: OfferedSizes): OfferedType[] {
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
      marks: describeMarks(choice, sizes, false),
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

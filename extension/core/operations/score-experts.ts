import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import { loadModelInputs } from '../data/model-inputs';
import { resumable } from '../jobs/saved-parts';
import type { SavedParts } from '../jobs/saved-parts';
import { writeDocument } from '../jobs/write-document';
import { requireAble } from '../models/capability';
import type { OpenedModel } from '../models/opened-model';
import { planFor } from '../plans/plan';
import { expertSaliency } from '../metrics/expert-saliency';
import type { ExpertSaliency } from '../metrics/expert-saliency';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { UserError } from '../user-error';
import { integer, newFile, number } from './fields';
import { operationJournal } from './journals';
import { defineOperation } from './operation';
import { needs } from './rules';
import {
  calibrationFields,
  calibrationOf,
  calibrationRules,
  modelField,
  runFields,
  runOptions,
} from './shared-fields';
import { say } from '../message';
import { walkWork } from './text-work';
import { several } from './outcomes';
import { formatCount } from '../format';

interface ScoredExperts {
  /** Mixture by mixture. */
  readonly mixtures: readonly (readonly ExpertSaliency[])[];
  /** The least salient, where a share was asked for. */
  readonly remove: readonly string[];
}

const journal = operationJournal('experts');

export const scoreExperts = defineOperation({
  id: 'score-experts',
  title: 'Score Experts',
  verb: 'Scoring experts of',
  summary:
    'Rank the experts of each mixture by gate times output, in one pass over the text (REAP).',
  fields: {
    model: modelField,
    ratio: number({
      description: 'Fraction of the experts of each mixture to remove, the least salient',
      placeholder: 'R',
      above: 0,
      max: 1,
    }),
    out: newFile('plan', {
      description: 'Where to write a plan that removes them (*.plan.json)',
    }),
    ...calibrationFields(defaultCalibration),
    seed: integer({ description: 'Seed of random inputs', default: 0, min: 0 }),
    ...runFields,
  },
  rules: [needs('out', 'ratio'), ...calibrationRules],
  result: v.looseObject({
    mixtures: v.array(
      v.array(v.object({ expert: v.string(), saliency: v.number(), tokens: v.number() })),
    ),
    remove: v.array(v.string()),
  }),
  trust: 'run',
  resume: ({ out, model }) => journal.walkFiles(out, model),
  work: async (request, { open }) => walkWork(request, await open(request.model)),
  run: async (request, context): Promise<ScoredExperts> => {
    const { open, samples, version } = context.environment;
    const { device, memoryBytes } = runOptions(request);
    const model = await open(request.model);
    requireAble(model.capabilities.run, model.path);
    const { ratio, out } = request;
    requireWhole(ratio, model);
    const calibration = calibrationOf(request, defaultCalibration, model.summary.maxPositions);
    const { inputs, summary, warnings } = await loadModelInputs(
      calibration,
      model.model,
      join(samples, 'calibration.txt'),
      request.seed,
    );
    warnings.forEach(context.warn.bind(context));
    const on = await resolveDevice(device, context.warn.bind(context));
    const score = async (executor: LayeredExecutor, saved: SavedParts): Promise<ScoredExperts> => {
      await saved.bind([model.summary.fingerprint, summary.fingerprint]);
      const mixtures = await expertSaliency(executor, inputs, context, saved);
      if (mixtures.length === 0) {
        throw new UserError(say`The model has no experts that can be scored.`, {
          file: model.path,
          remedy: say`Choose a mixture of experts in a Hugging Face folder. Search the experts of an ONNX file with \`espalier profile --granularity expert\`.`,
        });
      }
      const remove = ratio === undefined ? [] : leastSalient(mixtures, ratio);
      if (out !== undefined) {
        const { fingerprint } = model.summary;
        const note = `experts by REAP, ${ratio} of each mixture`;
        await writeDocument(
          out,
          planFor({ path: resolve(model.path), fingerprint }, { remove, note }),
        );
      }
      return { mixtures, remove };
    };
    const place = async (): Promise<string> => journal.prepare(out, model.path);
    const executor = new LayeredExecutor(model.model, on, memoryBytes);
    try {
      return await resumable({ place, out, version }, context, async (saved) =>
        score(executor, saved),
      );
    } finally {
      await executor.dispose();
    }
  },
  presentation: {
    panel: 'heatmap',
    measures: ({ mixtures }) => ({
      column: 'saliency',
      values: Object.fromEntries(mixtures.flat().map(({ expert, saliency }) => [expert, saliency])),
    }),
    outcome: ({ mixtures, remove }) => ({
      summary: say`Marked for removal: ${formatCount(remove.length)} of ${several(mixtures.flat().length, 'expert')}, the least salient.`,
      shown: true,
    }),
  },
});

/** @throws UserError where a fraction of the largest mixture is not a single expert. */
function requireWhole(ratio: number | undefined, { summary }: OpenedModel): void {
  const largest = Math.max(0, ...summary.sublayers.map(({ experts }) => experts?.count ?? 0));
  if (ratio !== undefined && largest > 1 && shareOfExperts(ratio, largest) === 0) {
    throw new UserError(say`${ratio} of ${largest} experts is less than one, so none is removed.`, {
      field: 'ratio',
      remedy: say`Give at least ${Number((1 / largest).toPrecision(3))}.`,
    });
  }
}

/** Experts with the least saliency: the same fraction of each MoE layer, rounded down; at least one is kept. */
export function leastSalient(
  mixtures: readonly (readonly ExpertSaliency[])[],
  ratio: number,
): string[] {
  return mixtures.flatMap((experts) => {
    const count = shareOfExperts(ratio, experts.length);
    return [...experts]
      .sort((a, b) => a.saliency - b.saliency)
      .slice(0, count)
      .map(({ expert }) => expert);
  });
}

/** Number of experts in a fraction of `count`, rounded down, at most `count` − 1. 0.29 of 100 is 29 despite floating-point error. */
export function shareOfExperts(ratio: number, count: number): number {
  return Math.min(count - 1, Math.floor(Number((ratio * count).toPrecision(12))));
}

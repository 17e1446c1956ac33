import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import { loadSeveralTexts } from '../data/model-inputs';
import { resumable } from '../jobs/saved-parts';
import type { SavedParts } from '../jobs/saved-parts';
import { writeDocument } from '../jobs/write-document';
import { checkChanges } from '../export/changes';
import { chooseOutput } from '../export/output-options';
import { writeSource } from '../export/write-source';
import { requireAble } from '../models/capability';
import type { ExpertSummary, ModelSummary } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { expertIds } from '../models/units';
import { planFor } from '../plans/plan';
import { expertSaliency, saliencySchema } from '../metrics/expert-saliency';
import type { ExpertSaliency } from '../metrics/expert-saliency';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { UserError } from '../user-error';
import { choice, integer, newFile, number } from './fields';
import { operationJournal } from './journals';
import { defineOperation } from './operation';
import { allNeed, excludes } from './rules';
import {
  calibrationFields,
  furtherCalibration,
  requestedCalibration,
  calibrationRules,
  modelField,
  runFields,
  runOptions,
} from './shared-fields';
import { say } from '../message';
import { calibrationPassWork } from './text-work';
import { countPhrase } from './outcomes';
import { formatCount } from '../format';

interface ScoredExperts {
  /** Experts of each MoE layer. */
  readonly layers: readonly (readonly ExpertSaliency[])[];
  /** Ids of the least salient experts, if a share was requested. */
  readonly remove: readonly string[];
  /** Sources of the texts that each expert's `texts` are about, if there are several. */
  readonly texts?: readonly string[];
}

/** Distribution of the removals: the same share of each MoE layer, or the least salient experts of all layers. */
export const expertAllocations = ['equal', 'saliency'] as const;
export type ExpertAllocation = (typeof expertAllocations)[number];

const journal = operationJournal('experts');

export const scoreExperts = defineOperation({
  id: 'score-experts',
  title: 'Score Experts',
  verb: 'Scoring experts of',
  summary:
    'Rank the experts of each MoE layer by gate times output, in one pass over the text (REAP).',
  group: 'shrink',
  fields: {
    model: modelField,
    ratio: number({
      description: 'Fraction of the experts to remove, least salient first',
      placeholder: 'R',
      above: 0,
      max: 1,
    }),
    allocation: choice(expertAllocations, {
      description:
        'Experts to remove: the same share of each MoE layer (equal), or the least salient of all layers (saliency), which needs the layout auto-map',
      default: 'equal',
      placeholder: 'ALLOCATION',
    }),
    out: newFile('plan', {
      description: 'File for a plan that removes them (*.plan.json)',
    }),
    ...calibrationFields(defaultCalibration),
    ...furtherCalibration('the result lists which experts serve which text'),
    seed: integer({ description: 'Seed of random inputs', default: 0, min: 0 }),
    ...runFields,
  },
  rules: [
    allNeed(['out', 'allocation'], 'ratio'),
    ...calibrationRules,
    excludes('furtherCalibration', 'calibrationScores'),
  ],
  result: v.looseObject({
    layers: v.array(v.array(saliencySchema)),
    remove: v.array(v.string()),
  }),
  trust: 'run',
  requires: () => ({ model: 'calibration' }),
  resume: ({ out, model }) => journal.walkFiles(out, model),
  work: async (request, { open }) => calibrationPassWork(request, await open(request.model)),
  run: async (request, context): Promise<ScoredExperts> => {
    const { open, samples, version } = context.environment;
    const { device, memoryBytes } = runOptions(request);
    const model = await open(request.model);
    requireAble(model.capabilities.run, model.path);
    const { ratio, out, allocation, furtherCalibration = [] } = request;
    if (ratio !== undefined) {
      await requireRemovable(ratio, allocation, model);
    }
    const calibration = requestedCalibration(
      request,
      defaultCalibration,
      model.summary.maxPositions,
    );
    const { inputs, summary, warnings } = await loadSeveralTexts(
      calibration,
      furtherCalibration,
      model.model,
      join(samples, 'calibration.txt'),
      request.seed,
    );
    warnings.forEach(context.warn.bind(context));
    const on = await resolveDevice(device, context.warn.bind(context));
    const score = async (executor: LayeredExecutor, saved: SavedParts): Promise<ScoredExperts> => {
      await saved.bind([model.summary.fingerprint, summary.fingerprint]);
      const layers = await expertSaliency(
        executor,
        inputs,
        context,
        saved,
        1 + furtherCalibration.length,
      );
      if (layers.length === 0) {
        throw new UserError('no-experts', say`The model has no experts that can be scored.`, {
          file: model.path,
          remedy: say`Choose the Hugging Face folder or the GGUF file of a model with MoE layers. Search the experts of an ONNX file with \`espalier profile --granularity expert\`.`,
        });
      }
      const remove =
        ratio === undefined ? [] : leastSalient(layers, ratio, model.summary, allocation);
      if (out !== undefined) {
        const { fingerprint } = model.summary;
        const note = `experts by REAP, ${ratio} of ${allocation === 'equal' ? 'each MoE layer' : 'all'}`;
        await writeDocument(
          out,
          planFor({ path: resolve(model.path), fingerprint }, { remove, note }),
        );
      }
      const { texts } = summary;
      return { layers, remove, ...(texts === undefined ? {} : { texts }) };
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
    jobName: say`Scoring experts`,
    updates: (_, { out: plan }) => (plan === undefined ? [] : [{ kind: 'selection', plan }]),
    measures: ({ layers, texts = [] }) => {
      const column = (value: (one: ExpertSaliency) => number): Record<string, number> =>
        Object.fromEntries(layers.flat().map((one) => [one.expert, value(one)]));
      return {
        saliency: column(({ saliency }) => saliency),
        tokens: column(({ frequency }) => frequency),
        ...Object.fromEntries(
          texts.map((text, i) => [
            `tokens:${text}`,
            column((one) => one.texts?.[i]?.frequency ?? 0),
          ]),
        ),
      };
    },
    outcome: ({ layers, remove }) => ({
      summary: say`Marked for removal: ${formatCount(remove.length)} of ${countPhrase(layers.flat().length, 'expert')}, the least salient.`,
      shown: true,
    }),
  },
});

/**
 * Checks before the pass that a plan can be carried out: which experts it names is all that the pass decides.
 * @throws UserError if no expert would be removed, or if the result can't be written.
 */
async function requireRemovable(
  ratio: number,
  allocation: ExpertAllocation,
  model: OpenedModel,
): Promise<void> {
  const { summary } = model;
  const scored = summary.sublayers.flatMap((sublayer, index) =>
    sublayer.experts !== undefined && model.model.sublayer(index).routed !== undefined
      ? [{ ...sublayer, experts: sublayer.experts }]
      : [],
  );
  const { experts: largest } =
    scored.toSorted((a, b) => b.experts.count - a.experts.count)[0] ?? {};
  if (largest === undefined) {
    return;
  }
  const { count, least = 1, groups = 1 } = largest;
  if (groups > 1 && count <= least) {
    throw new UserError(
      'expert-groups-fixed',
      say`Routers choose from ${groups} groups, and each group needs its ${count / groups} experts.`,
      { file: model.path, remedy: say`Remove blocks: \`espalier profile --granularity block\`.` },
    );
  }
  if (count > 1 && scored.every(({ experts }) => removableExpertCount(ratio, experts) === 0)) {
    throw new UserError(
      'ratio-too-small',
      groups === 1
        ? say`${ratio} of ${count} experts is less than one, so none is removed.`
        : say`${ratio} of the ${count / groups} experts in a group is less than one, so none is removed.`,
      {
        field: 'ratio',
        remedy: say`Add at least ${Number((groups / count).toPrecision(3))}.`,
      },
    );
  }
  const any = scored.map((sublayer) =>
    expertIds(sublayer).map((expert) => ({ expert, saliency: 0 })),
  );
  const changes = checkChanges(summary, leastSalient(any, ratio, summary, allocation));
  await chooseOutput(writeSource(model), changes, {});
}

/**
 * Ids of the least salient experts: the same fraction of each MoE layer (`equal`), or the least salient of all layers
 * (`saliency`). In each group of a router, the number is rounded down, and each layer keeps as many experts as it
 * needs.
 */
export function leastSalient(
  layers: readonly (readonly Pick<ExpertSaliency, 'expert' | 'saliency'>[])[],
  ratio: number,
  { sublayers }: Pick<ModelSummary, 'sublayers'>,
  allocation: ExpertAllocation = 'equal',
): string[] {
  const shapes = new Map(
    sublayers.flatMap((one) => expertIds(one).map((id) => [id, one.experts] as const)),
  );
  const candidates = layers.flatMap((experts) => {
    const shape = shapes.get(experts[0]?.expert ?? '');
    return shape === undefined ? [] : [{ shape, rounds: removalRounds(experts, shape) }];
  });
  if (allocation === 'equal') {
    return candidates.flatMap(({ shape, rounds }) => {
      const chosen = rounds.slice(0, removableExpertCount(ratio, shape));
      const { groups = 1 } = shape;
      return Array.from({ length: groups }, (_, group) =>
        chosen.flatMap(({ experts }) => experts[group] ?? []),
      ).flat();
    });
  }
  let left = candidates.reduce(
    (sum, { shape }) => sum + removableExpertCount(ratio, shape) * (shape.groups ?? 1),
    0,
  );
  return candidates
    .flatMap(({ rounds }) => rounds)
    .sort((a, b) => a.saliency - b.saliency)
    .flatMap(({ experts }) => {
      const fits = experts.length <= left;
      left -= fits ? experts.length : 0;
      return fits ? experts : [];
    });
}

/**
 * Removable experts of a layer in the order of their saliency, one per group at a time, so that groups keep equal
 * sizes.
 */
function removalRounds(
  experts: readonly Pick<ExpertSaliency, 'expert' | 'saliency'>[],
  { least = 1, groups = 1 }: Pick<ExpertSummary, 'least' | 'groups'>,
): { readonly experts: readonly string[]; readonly saliency: number }[] {
  const size = experts.length / groups;
  const sorted = Array.from({ length: groups }, (_, group) =>
    experts.slice(group * size, (group + 1) * size).sort((a, b) => a.saliency - b.saliency),
  );
  return Array.from({ length: Math.max(0, (experts.length - least) / groups) }, (_, round) => {
    const own = sorted.flatMap((group) => group[round] ?? []);
    return {
      experts: own.map(({ expert }) => expert),
      saliency: own.reduce((sum, { saliency }) => sum + saliency, 0) / groups,
    };
  });
}

/**
 * Number of experts in a fraction of each group, rounded down, leaving as many as the layer needs. 0.29 of 100 is 29
 * despite floating-point error.
 */
export function removableExpertCount(
  ratio: number,
  { count, least = 1, groups = 1 }: Pick<ExpertSummary, 'count' | 'least' | 'groups'>,
): number {
  const share = Math.floor(Number(((ratio * count) / groups).toPrecision(12)));
  return Math.min((count - least) / groups, share);
}

import type { OutputTarget } from '../export/output-options';
import { writableGranularity } from '../export/writable';
import type { ModelSummary } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { RemovableUnits, unitsMeant } from '../models/units';
import { metricNames, metrics } from '../metrics/metrics';
import {
  checkBudget,
  listCandidates,
  explainNothingRemovable,
  nothingToRemove,
  resolveIds,
} from '../prune/candidates';
import type { Candidate } from '../prune/candidates';
import {
  arithmetics,
  baselineNames,
  defaultSettings,
  granularities,
  minConfidence,
  refineMethods,
  searchModes,
} from '../prune/options';
import type { Budget, SearchSettings } from '../prune/options';
import { UserError } from '../user-error';
import { choice, flag, group, integer, leftOpen, list, number } from './fields';
import type { GivenOf, RequestOf } from './fields';
import { actsOnlyWith, excludes } from './rules';
import { inEnglish, say } from '../message';
import type { Message } from '../message';

const defaultRefineSets = 200;

/** Chooses the finest granularity that can be written. */
export const openGranularity = 'auto';

/** Options of the search for a removal order. */
export const searchFields = group('Search', {
  metric: choice(metricNames, {
    description: 'Distance between the outputs of two models',
    default: defaultSettings.metric,
    placeholder: 'METRIC',
    choiceTexts: Object.fromEntries(
      metricNames.map((name) => {
        const { meaning, definition } = metrics[name];
        return [name, `${meaning}. ${inEnglish(definition)}`];
      }),
    ),
    setting: 'metric',
    flagOnly: ['js-reference'],
  }),
  search: choice(searchModes, {
    description:
      'Search mode; adaptive measures as much as each decision needs, exact gives the same result as naive',
    default: defaultSettings.mode,
    placeholder: 'MODE',
    setting: 'search.mode',
  }),
  confidence: number({
    description: 'Probability that a candidate is worse, at which adaptive stops measuring it',
    default: defaultSettings.confidence,
    min: minConfidence,
    max: 1,
    setting: 'search.confidence',
  }),
  granularity: choice([openGranularity, ...granularities], {
    description: 'Unit of removal; auto is sublayers, or blocks if the format allows only blocks',
    default: openGranularity,
    placeholder: 'G',
    setting: 'search.granularity',
  }),
  exclude: number({
    description: 'Fraction of the first blocks that are removed only after all others',
    default: defaultSettings.exclude,
    min: 0,
    max: 1,
  }),
  protect: list({
    description: 'Sublayers or blocks to keep, such as block.0 or block.3.attention',
    placeholder: 'ID,…',
  }),
  everyDistance: flag({
    description: 'Measure every distance in every round, not only in the first',
    default: defaultSettings.everyDistance,
  }),
  baselines: flag({
    description: 'Also measure the orders one-shot, reverse and random',
    default: true,
    off: 'Skip the orders one-shot, reverse and random',
    setting: 'search.baselines',
  }),
  refine: choice(['none', ...refineMethods], {
    description:
      'Exchange removals after the search: swaps tries each single exchange, evolve random exchanges of up to three',
    default: 'none',
    placeholder: 'METHOD',
    setting: 'search.refine',
  }),
  refineSets: integer({
    description: 'Maximum number of sets of removals that a refinement measures',
    fallback: String(defaultRefineSets),
    min: 1,
  }),
  arithmetic: choice(arithmetics, {
    description:
      'Arithmetic for comparing candidates in adaptive; auto is int8 if the CPU has instructions for it. Winners are always confirmed in float32',
    default: defaultSettings.arithmetic,
  }),
  seed: integer({
    description: 'Seed of the random order and of a refinement',
    default: defaultSettings.seed,
  }),
});

/** Search fields for operations that search only if no other field selects the removals. */
export const openSearchFields = leftOpen(searchFields);

const fraction = { above: 0, max: 1, placeholder: 'R' } as const;

/** Amount to remove; the model determines the possible units. */
export const amountFields = group('Amount', {
  remove: integer({ description: 'Number of removals', min: 1 }),
  ratio: number({
    description: 'Fraction of the sublayers',
    ...fraction,
  }),
  parameters: number({
    description: 'Fraction of the parameters',
    ...fraction,
  }),
  all: flag({ description: 'Remove until nothing more can be removed', default: false }),
});

export const amountNames = Object.keys(amountFields);
export const searchNames = Object.keys(searchFields);

export const searchRules = [
  excludes(...amountNames),
  actsOnlyWith('everyDistance', 'search', ['exact', 'lazy']),
  actsOnlyWith('refineSets', 'refine', refineMethods),
  actsOnlyWith('confidence', 'search', ['adaptive']),
  actsOnlyWith('arithmetic', 'search', ['adaptive']),
];

type Amount = RequestOf<typeof amountFields>;

/** Search options of a request. */
export type SearchRequest = RequestOf<typeof openSearchFields> & Amount;

/** Amount to remove, or undefined if a request doesn't specify it. */
export function removalBudget({ remove, ratio, parameters, all }: Amount): Budget | undefined {
  if (remove !== undefined) {
    return { kind: 'count', count: remove };
  }
  if (ratio !== undefined) {
    return { kind: 'ratio', ratio };
  }
  if (parameters !== undefined) {
    return { kind: 'parameters', ratio: parameters };
  }
  return all ? { kind: 'all' } : undefined;
}

/** A budget as fields of a request. */
export function budgetFields(budget: Budget): GivenOf<typeof amountFields> {
  switch (budget.kind) {
    case 'count':
      return { remove: budget.count };
    case 'ratio':
      return { ratio: budget.ratio };
    case 'parameters':
      return { parameters: budget.ratio };
    case 'all':
      return { all: true };
  }
}

/**
 * Search settings of a request, with defaults for missing fields.
 * @param target format to be written afterwards; any possible format if undefined
 */
export async function searchSettings(
  request: SearchRequest,
  model: OpenedModel,
  target: Partial<OutputTarget> = {},
): Promise<SearchSettings> {
  const { refine = 'none', granularity = openGranularity } = request;
  return {
    metric: request.metric ?? defaultSettings.metric,
    mode: request.search ?? defaultSettings.mode,
    confidence: request.confidence ?? defaultSettings.confidence,
    granularity:
      granularity === openGranularity ? await writableGranularity(model, target) : granularity,
    budget: removalBudget(request) ?? defaultSettings.budget,
    protect: request.protect ?? defaultSettings.protect,
    exclude: request.exclude ?? defaultSettings.exclude,
    everyDistance: request.everyDistance ?? defaultSettings.everyDistance,
    baselines: request.baselines === false ? [] : [...baselineNames],
    ...(refine === 'none'
      ? {}
      : { refine: { method: refine, sets: request.refineSets ?? defaultRefineSets } }),
    arithmetic: request.arithmetic ?? defaultSettings.arithmetic,
    seed: request.seed ?? defaultSettings.seed,
  };
}

/** True if removals, by their ids, reach a budget; any removals reach a budget of all. */
export function meetsBudget(
  summary: ModelSummary,
  { budget, granularity }: Pick<SearchSettings, 'budget' | 'granularity'>,
  removed: readonly string[],
): boolean {
  const units = new RemovableUnits(summary);
  const ids = removed.flatMap((id) => unitsMeant(id, summary));
  const removedUnits = new Set(ids.flatMap((id) => units.numberOf(id) ?? []));
  const { isMet } = checkBudget(budget, summary, granularity);
  return budget.kind === 'all' || isMet(removedUnits, removed.length);
}

/** Units that a search may remove. */
export function removalCandidates(
  model: ModelSummary,
  { granularity, protect }: Pick<SearchSettings, 'granularity' | 'protect'>,
): readonly Candidate[] {
  const protectedIds = new Set(resolveIds(model, protect, { field: 'protect' }));
  return listCandidates(model, granularity).filter(
    ({ members }) => !members.some((unit) => protectedIds.has(unit)),
  );
}

/** @throws UserError if more would be removed than there is, or nothing can be, with the reason. */
export function requireCandidates(
  { model, summary }: Pick<OpenedModel, 'model' | 'summary'>,
  settings: SearchSettings,
): void {
  const { budget, granularity } = settings;
  if (budget.kind !== 'count') {
    return;
  }
  const available = removalCandidates(summary, settings).length;
  if (available === 0) {
    // For a graph without sublayers, this error is more specific.
    model.requireRunnable();
    throw listCandidates(summary, granularity).length === 0
      ? nothingToRemove(summary, granularity)
      : explainNothingRemovable();
  }
  requireAtMost(budget.count, available, say`${summary.name} has ${available} to remove`);
}

/** @throws UserError if more is to be removed than available. */
export function requireAtMost(count: number, available: number, what: Message): void {
  if (count > available) {
    throw new UserError('removals-too-many', say`Cannot remove ${count}: ${what}.`, {
      field: 'remove',
      remedy: say`Choose a number from 1 to ${available}.`,
    });
  }
}

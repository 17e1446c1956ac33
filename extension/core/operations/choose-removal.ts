import { resolve } from 'node:path';
import { defaultCalibration } from '../data/calibration-defaults';
import type { OutputTarget } from '../export/output-options';
import { planFor } from '../plans/plan';
import type { Plan } from '../plans/plan';
import { foreseeRefusals, writablePrefix } from '../export/writable';
import { refused } from '../models/capability';
import type { OpenedModel } from '../models/opened-model';
import { RemovableUnits, unitsMeant } from '../models/units';
import { checkBudget } from '../prune/candidates';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import type { SearchSettings } from '../prune/options';
import { parseLayerProfile } from '../prune/layer-profile-schema';
import { UserError } from '../user-error';
import { document } from './fields';
import type { RequestOf } from './fields';
import type { OperationContext } from './operation';
import { writePlan } from './output-file';
import { needs, replaces } from './rules';
import {
  amountFields,
  amountNames,
  removalBudget,
  meetsBudget,
  openGranularity,
  openSearchFields,
  requireAtMost,
  searchNames,
  searchRules,
  searchSettings,
} from './search-fields';
import { searchModel } from './search-model';
import { calibrationFields, calibrationRules, runFields } from './shared-fields';
import { sharingFields, sharingNames, sharingRules } from './sharing';
import { counted, say } from '../message';
import { readSmallText } from '../regular-file';

const calibration = calibrationFields(defaultCalibration);

/** Fields that choose the sublayers to remove: a saved profile, or a new search. */
export const removalFields = {
  profile: document('layerProfile', {
    description: 'Remove the first sublayers of a profile (*.layerprofile.json), without a search',
  }),
  ...amountFields,
  ...openSearchFields,
  ...calibration,
  ...runFields,
  ...sharingFields,
};

/** Fields that only a search reads. */
export const removalNames = ['profile', ...searchNames, ...sharingNames];

export const removalRules = [
  ...searchRules,
  ...calibrationRules,
  ...sharingRules,
  needs('profile', ...amountNames),
  replaces(
    'profile',
    ['calibrationScores', 'calibrationPolicy', ...sharingNames],
    say`a profile contains a finished search`,
  ),
];

export type RemovalRequest = RequestOf<typeof removalFields> & {
  readonly model: OpenedModel;
};

/** Plan with its profile. */
export interface ChosenRemoval {
  readonly plan: Plan;
  readonly profile: LayerProfile;
}

/**
 * Plans a removal that can be written in a format: a prefix of a saved profile's order, or the result of a new search.
 * If only some rounds can be written, saves them as a plan.
 * @param file path of that plan
 */
export async function chooseRemoval(
  request: RemovalRequest,
  target: Partial<OutputTarget>,
  file: string,
  context: OperationContext<ProfileEvent>,
): Promise<ChosenRemoval> {
  const chosen =
    request.profile === undefined
      ? await search(request, target, file, context)
      : await firstRounds(request, request.profile);
  await requirePlanWritable(request.model, target, chosen.plan, file);
  return chosen;
}

async function search(
  request: RemovalRequest,
  target: Partial<OutputTarget>,
  file: string,
  context: OperationContext<ProfileEvent>,
): Promise<ChosenRemoval> {
  const { model } = request;
  const settings = await searchSettings(request, model, target);
  const { warning, nothing, writable } = await foreseeRefusals(model, target, settings);
  if (nothing !== undefined) {
    throw nothing;
  }
  if (warning !== undefined) {
    context.warn(warning);
  }
  const profile = await searchModel(request, settings, undefined, context, writable);
  const plan = planFirstRounds(profile, model.path);
  await requireEnough(model, settings, plan, file);
  return { plan, profile };
}

/** The first rounds of a saved profile, up to the requested amount. */
async function firstRounds(request: RemovalRequest, file: string): Promise<ChosenRemoval> {
  const text = await readSmallText(file, say`There is no such profile.`);
  const profile = parseLayerProfile(text, file);
  requireSameSearch(request, profile, file);
  const { summary, path } = request.model;
  if (profile.model.fingerprint !== summary.fingerprint) {
    throw new UserError(
      'profile-mismatch',
      say`The profile is of another model than ${summary.path}.`,
      {
        file,
        field: 'model.fingerprint',
        remedy: say`Specify the model that was profiled, or profile this one.`,
      },
    );
  }
  const { rounds, settings } = profile;
  const budget = removalBudget(request) ?? settings.budget;
  if (budget.kind === 'count') {
    requireAtMost(
      budget.count,
      rounds.length,
      say`${file} has ${counted(rounds.length, 'removal')}`,
    );
  }
  const { isMet } = checkBudget(budget, summary, settings.granularity);
  const units = new RemovableUnits(summary);
  const removed = new Set<number>();
  let count = 0;
  while (count < rounds.length && !isMet(removed, count)) {
    for (const id of unitsMeant(rounds[count]?.removed ?? '', summary)) {
      removed.add(units.numberOf(id) ?? -1);
    }
    count++;
  }
  if (budget.kind !== 'all' && !isMet(removed, count)) {
    throw new UserError(
      'profile-too-short',
      say`Only ${counted(rounds.length, 'removal')} in ${file}, fewer than requested.`,
      {
        field: budget.kind === 'count' ? 'remove' : budget.kind,
        remedy: say`Choose fewer, or profile the model again with more removals.`,
      },
    );
  }
  return { plan: planFirstRounds(profile, path, count), profile };
}

/** @throws UserError if the request asks for another search than the profile's. */
function requireSameSearch(request: RemovalRequest, profile: LayerProfile, file: string): void {
  const { settings, calibration: used } = profile;
  const searched: Readonly<Record<string, unknown>> = {
    metric: settings.metric,
    search: settings.mode,
    granularity: request.granularity === openGranularity ? openGranularity : settings.granularity,
    exclude: settings.exclude,
    protect: settings.protect,
    everyDistance: settings.everyDistance,
    baselines: settings.baselines.length > 0,
    seed: settings.seed,
    calibration: used.source,
    sequences: used.sequences,
    length: used.length,
  };
  const asked: Readonly<Record<string, unknown>> = { ...request };
  for (const [field, value] of Object.entries(searched)) {
    if (asked[field] !== undefined && JSON.stringify(asked[field]) !== JSON.stringify(value)) {
      throw new UserError(
        'profile-contradicted',
        say`${JSON.stringify(asked[field])} contradicts the profile ${file}, which was made with ${JSON.stringify(value)}.`,
        { field, remedy: say`Leave it out, or search again without the profile.` },
      );
    }
  }
}

/**
 * Throws if a plan can't be written, after saving the rounds that can be as a plan.
 * @throws UserError naming the plan.
 */
async function requirePlanWritable(
  model: OpenedModel,
  target: Partial<OutputTarget>,
  plan: Plan,
  file: string,
): Promise<void> {
  const { count, refusal } = await writablePrefix(model, target, plan.remove);
  if (refusal === undefined) {
    return;
  }
  const remedy =
    count === 0 ? refusal.remedy : say`${refusal.remedy} ${await keepRounds(plan, count, file)}`;
  throw refused({ ...refusal, remedy }, model.path);
}

/**
 * Checks that a search found the requested number of removals that can be written.
 * @throws UserError naming a plan with those found
 */
async function requireEnough(
  { summary, path: source }: OpenedModel,
  { budget, granularity }: SearchSettings,
  plan: Plan,
  file: string,
): Promise<void> {
  const count = plan.remove.length;
  if (meetsBudget(summary, { budget, granularity }, plan.remove)) {
    return;
  }
  throw new UserError(
    'removals-too-few',
    say`Only ${counted(count, 'removal')} can be written this way, fewer than requested.`,
    {
      file: source,
      field: budget.kind === 'count' ? 'remove' : budget.kind,
      remedy: say`Remove less, or choose another format. ${count === 0 ? '' : await keepRounds(plan, count, file)}`,
    },
  );
}

/** Writes a plan of the first rounds, and says how it is used. */
async function keepRounds(plan: Plan, count: number, file: string): Promise<string> {
  await writePlan(file, { ...plan, remove: plan.remove.slice(0, count) });
  const rounds = count === 1 ? 'The first round' : `The first ${count} rounds`;
  return `${rounds} can be written: give ${file} with --plan.`;
}

/** Plan that removes the first `count` rounds of a profile, by default all. */
export function planFirstRounds(
  profile: LayerProfile,
  model: string,
  count = profile.rounds.length,
): Plan {
  const { metric, search: how, model: source, settings } = profile;
  const { fingerprint } = source;
  return planFor(
    { path: resolve(model), fingerprint },
    {
      remove: profile.rounds.slice(0, count).map(({ removed }) => removed),
      ...(settings.protect.length === 0 ? {} : { protect: settings.protect }),
      note: `${how.mode} search, metric ${metric}`,
    },
  );
}

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import { foreseeRefusals } from '../export/writable';
import { readHeldOut } from '../evaluate/held-out';
import { modelWindowLength } from '../evaluate/perplexity';
import { perplexityByRounds, perplexitySeconds } from '../evaluate/perplexity-of-rounds';
import { takesRecordings } from '../models/example';
import type { OpenedModel } from '../models/opened-model';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import type { EvaluateRounds } from '../prune/profile-model';
import { flag, group, newFile, path } from './fields';
import type { RequestOf } from './fields';
import { heldOutText } from './requirement-fields';
import { attempt } from './judge-changed';
import { excludes, switchedOff } from './rules';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import type { Counted } from './presentation';
import {
  amountFields,
  meetsBudget,
  searchFields,
  searchRules,
  searchSettings,
} from './search-fields';
import {
  calibrationFields,
  furtherCalibration,
  calibrationRules,
  modelField,
  runFields,
  sampleText,
} from './shared-fields';
import { searchJournal, searchModel, searchWork } from './search-model';
import { sharingFields, sharingRules } from './sharing';
import { pathNextToModel } from './output-file';
import { counted, say, joined } from '../message';
import { bundledText, perplexityChange } from '../prune/layer-profile';
import { countPhrase, perplexitySentence } from './outcomes';
import { formatDuration } from '../format';

const evaluationFields = group('Evaluation', {
  perplexity: flag({
    description: 'Measure perplexity before and after the removals, if that takes only seconds',
    default: true,
    off: 'Do not measure perplexity',
    setting: 'profile.perplexity',
  }),
  heldOut: path({
    description: 'Held-out text to measure perplexity on (.txt, .md, .jsonl)',
    fallback: sampleText,
    setting: 'evaluation.file',
  }),
});

export const profile = defineOperation({
  id: 'profile',
  title: 'Profile Layers',
  verb: 'Profiling',
  summary: 'Measure the importance of every sublayer, and find the best order of removal.',
  group: 'shrink',
  fields: {
    model: modelField,
    out: newFile('layerProfile', {
      description: 'File for the profile (*.layerprofile.json)',
    }),
    ...amountFields,
    ...searchFields,
    ...calibrationFields(defaultCalibration),
    ...furtherCalibration('the profile shows where they disagree'),
    ...evaluationFields,
    ...runFields,
    ...sharingFields,
  },
  rules: [
    ...searchRules,
    ...calibrationRules,
    ...sharingRules,
    excludes('furtherCalibration', 'calibrationScores'),
    switchedOff('perplexity', ['heldOut']),
  ],
  result: v.looseObject({
    candidates: v.array(v.looseObject({ sublayer: v.string(), distance: v.nullable(v.number()) })),
    rounds: v.array(v.looseObject({ removed: v.string(), distance: v.number() })),
    search: v.looseObject({
      mode: v.string(),
      seconds: v.number(),
      sublayerEvaluations: v.number(),
      naiveSublayerEvaluations: v.number(),
    }),
  }),
  trust: 'run',
  requires: () => ({ model: 'calibration' }),
  resume: ({ out, model }) => searchJournal.path(out, model),
  suggestOut: async ({ model = '.' }) => pathNextToModel('layerProfile', model),
  work: async (request, { open }) =>
    // A profile that is there may have the search already: how much is left shows only in the run.
    request.refine !== 'none' && request.out !== undefined && existsSync(request.out)
      ? undefined
      : searchWork(request, await open(request.model)),
  run: async (request, context: OperationContext<ProfileEvent>): Promise<LayerProfile> => {
    const model = await context.environment.open(request.model);
    const settings = await searchSettings(request, model);
    // The order may contain only writable candidates; distances are measured for all.
    const { warning, writable } = await foreseeRefusals(model, {}, settings);
    if (warning !== undefined) {
      context.warn(warning);
    }
    const evaluate = await evaluation(request, model, context);
    const secondsAfter =
      evaluate &&
      ((original: number, pruned: number) => perplexitySeconds(model.model, original, pruned));
    const asked = { ...request, model, evaluate, secondsAfter };
    const found = await searchModel(asked, settings, request.out, context, writable);
    const removed = found.rounds.map((round) => round.removed);
    if (!meetsBudget(model.summary, settings, removed)) {
      context.warn(
        say`The order ends after ${counted(removed.length, 'removal')}, fewer than requested: nothing else can be removed.`,
      );
    }
    return found;
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Profiling`,
    document: 'out',
    outcome: ({ candidates, rounds, search, evaluations }) => {
      const measured = countPhrase(
        candidates.filter(({ distance }) => distance !== null).length,
        'sublayer',
      );
      const change = perplexityChange(evaluations, rounds.length);
      return {
        summary: joined([
          say`Measured ${measured} and ranked ${rounds.length} for removal, in ${formatDuration(search.seconds)}.`,
          change && perplexitySentence(change),
        ]),
        shown: true,
      };
    },
    saved: {
      text: (done, total) => say`Saved: ${done} of ${total} sublayers.`,
      counter: countCandidates,
    },
  },
});

/** Counts the sublayers that a search has measured alone. A journal repeats its events, which count once. */
function countCandidates(): (event: unknown) => Counted | undefined {
  const measured = new Set<string>();
  let total = 0;
  return (given) => {
    const event = given as ProfileEvent;
    if (event.kind === 'started') {
      total = event.candidates.length;
    } else if (event.kind === 'candidate' && event.round === 1) {
      measured.add(event.distance.sublayer);
    } else {
      return undefined;
    }
    return total === 0 ? undefined : { done: measured.size, total };
  };
}

/**
 * Undefined if perplexity isn't requested, can't be measured, or its time is unknown because other workers take part in
 * the search.
 * @throws UserError before the search if the requested text can't be read
 */
async function evaluation(
  request: RequestOf<typeof evaluationFields & typeof sharingFields>,
  { capabilities, model }: OpenedModel,
  context: OperationContext<ProfileEvent>,
): Promise<EvaluateRounds | undefined> {
  const { perplexity, heldOut, queue, workers } = request;
  // The bundled text can't evaluate a speech-to-text model.
  const lacksText = takesRecordings(model) && heldOut === undefined;
  if (!perplexity || !capabilities.evaluate.able || queue !== undefined || lacksText) {
    return undefined;
  }
  if (heldOut !== undefined) {
    await readHeldOut(heldOut, model, modelWindowLength(model));
  }
  const text = {
    file: heldOut ?? join(context.environment.samples, heldOutText),
    name: heldOut ?? bundledText,
  };
  return async (searched) => {
    const secondsPerToken = searched.secondsPerToken * workers;
    const found = await attempt(
      async () => perplexityByRounds({ ...searched, secondsPerToken }, text, context),
      (why) => {
        if (why !== undefined) {
          context.inform(say`Perplexity was not measured: ${why}`);
        }
      },
    );
    return found ?? [];
  };
}

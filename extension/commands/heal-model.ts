import { readFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { commands, l10n, Uri, window, workspace } from 'vscode';
import * as v from 'valibot';
import type { HealResult } from '../core/export/compression/heal-model';
import { formatPercent } from '../core/format';
import type { ModelSummary } from '../core/models/model-summary';
import { usualHealingText } from '../core/tensornet/healing/healing-settings';
import { UserError } from '../core/user-error';
import type { HealModelRequest } from '../protocol/worker';
import { commandIds } from '../services/command-ids';
import { modelStem } from '../services/model-file';
import type { Services } from '../services/services';
import { whyBlocked } from '../services/trust';
import { RequestCancelled } from '../services/worker-errors';
import { chooseFolder, revealFolder } from './choose-output';
import { bundled, chooseText } from './score-text';
import { chooseTarget, pickModel } from './target';

/** Answers given beforehand, so that nothing is asked. */
export interface HealOptions {
  /** Path of the model that it was made from. */
  readonly teacher?: string;
  /** Path of a text, or `bundled`. */
  readonly text?: string;
  /** Path of the new folder. */
  readonly out?: string;
  /** Replace an existing folder without asking. */
  readonly overwrite?: boolean;
}

/** Teaches a compressed or pruned model what its original does, and writes it where that helped. */
export async function healModel(
  services: Services,
  argument: unknown,
  given: HealOptions = {},
): Promise<HealResult | undefined> {
  const target = await chooseTarget(argument, services);
  if (target === undefined) {
    return undefined;
  }
  const blocked = whyBlocked({ trusted: workspace.isTrusted, scheme: 'file' });
  if (blocked !== undefined) {
    throw new UserError(blocked);
  }
  services.jobs.assertFree();
  const model = await services.models.summary(target.model);
  const manifest = await readManifest(model.path);
  const teacher = given.teacher ?? (await chooseTeacher(services, model, manifest));
  if (teacher === undefined) {
    return undefined;
  }
  const { file, ...calibration } = services.settings.calibration(usualHealingText);
  const text =
    given.text ?? (await chooseText(l10n.t('Which text does {0} learn from?', model.name), file));
  const folder =
    text &&
    (await chooseFolder(
      model.path,
      `${modelStem(model.path)}-healed`,
      l10n.t('Heal {0}: new folder', model.name),
      given,
    ));
  if (text === undefined || !folder) {
    return undefined;
  }
  const request: HealModelRequest = {
    model: model.path,
    teacher,
    text: {
      ...calibration,
      upTo: true,
      length: Math.min(calibration.length, model.maxPositions ?? calibration.length),
      ...(text === bundled ? {} : { file: text }),
    },
    trains: manifest?.compressed === undefined ? 'all' : 'compressed',
    ...services.settings.runOptions(),
    ...folder,
  };
  try {
    const result = await services.jobs.run('heal', request, {
      name: model.name,
      model: model.path,
      shownInPanel: false,
    });
    void offerNext(teacher, result);
    return result;
  } catch (error) {
    if (error instanceof RequestCancelled) {
      void offerResume(model.path, { teacher, text, out: folder.out, overwrite: true });
    }
    throw error;
  }
}

const manifestSchema = v.object({
  source: v.object({ name: v.string(), fingerprint: v.string() }),
  compressed: v.optional(v.record(v.string(), v.unknown())),
});
type ReadManifest = v.InferOutput<typeof manifestSchema>;

/** What Espalier wrote beside the model of where it comes from. */
async function readManifest(model: string): Promise<ReadManifest | undefined> {
  try {
    const text = await readFile(join(model, 'espalier.json'), 'utf8');
    return v.parse(manifestSchema, JSON.parse(text));
  } catch {
    // Another tool's folder, or a damaged file: the user names the teacher.
    return undefined;
  }
}

/** The model that the manifest names, where it is known or lies beside; else one that the user picks. */
async function chooseTeacher(
  services: Services,
  model: ModelSummary,
  manifest: ReadManifest | undefined,
): Promise<string | undefined> {
  if (manifest !== undefined) {
    const { name, fingerprint } = manifest.source;
    const known = (await services.folders.known()).map(({ fsPath }) => fsPath);
    const places = [join(dirname(model.path), name), ...known].filter(
      (place) => basename(place, extname(place)) === basename(name, extname(name)),
    );
    for (const place of new Set(places)) {
      const found = await services.models.summary(place).catch(() => undefined);
      if (found?.fingerprint === fingerprint) {
        return found.path;
      }
    }
  }
  const title =
    manifest === undefined
      ? l10n.t('Which model was {0} made from?', model.name)
      : l10n.t(
          '{0} was made from {1}, which is not found: where is it?',
          model.name,
          manifest.source.name,
        );
  return (await pickModel(services, title))?.fsPath;
}

async function offerNext(teacher: string, result: HealResult): Promise<void> {
  const { path, lossBefore, lossAfter } = result;
  const reveal = l10n.t('Reveal');
  const evaluate = l10n.t('Evaluate Both');
  const chosen = await window.showInformationMessage(
    l10n.t(
      '{0}: the distance to the original on held-out text fell from {1} to {2} nats per token ({3} less).',
      basename(path),
      lossBefore.toPrecision(3),
      lossAfter.toPrecision(3),
      formatPercent(1 - lossAfter / lossBefore),
    ),
    reveal,
    evaluate,
  );
  const uri = Uri.file(path);
  if (chosen === reveal) {
    await revealFolder(uri);
  } else if (chosen === evaluate) {
    await commands.executeCommand(commandIds.evaluateModel, uri, { against: teacher });
  }
}

async function offerResume(model: string, options: HealOptions): Promise<void> {
  const resume = l10n.t('Resume');
  const chosen = await window.showInformationMessage(
    l10n.t('Healing {0} was cancelled. What is done is kept.', basename(model)),
    resume,
  );
  if (chosen === resume) {
    await commands.executeCommand(commandIds.healModel, Uri.file(model), options);
  }
}

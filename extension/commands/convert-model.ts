import { l10n, workspace } from 'vscode';
import type { CheckedOutput } from '../core/export/output-options';
import { refused } from '../core/models/capability';
import type { ModelSummary } from '../core/models/model-summary';
import type { ApplyResult } from '../core/operations/apply-plan';
import { convert } from '../core/operations/convert';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';
import { chooseFormat } from './questions/choose-format';
import { askedTarget, chooseRest, withImportance } from './questions/choose-output';
import type { OutputOptions } from './questions/choose-output';
import { chooseTarget } from './target';
import { followedBy } from './questions/steps';

/** Writes a model in another format, or a GGUF file with other types, and checks it. */
export async function convertModel(
  services: Services,
  argument: unknown,
  options: OutputOptions = {},
): Promise<ApplyResult | undefined> {
  const target = await chooseTarget(argument, services, 'convertModel', 1);
  if (target === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const model = await services.models.summary(target.model);
  const title = l10n.t('Convert {0}', model.name);
  const format =
    askedTarget(options) ?? (await followedBy(1, async () => chooseOther(services, model, title)));
  const output =
    format &&
    (await chooseRest(model.path, format, options, {
      formatTitle: title,
      folderTitle: l10n.t('Convert {0}: new folder', model.name),
      suffix: '',
      types: { mustChange: /\.gguf$/i.test(model.path) },
    }));
  if (output === undefined) {
    return undefined;
  }
  const given = { model: model.path, ...(await withImportance(services, model, output)) };
  const request = services.settings.request(convert, given);
  return services.jobs.run({ operation: 'convert', name: model.name, request });
}

/**
 * Asks for a target format: any format other than the model's own, or GGUF, whose types can change.
 * @throws UserError with the reason if there is none
 */
async function chooseOther(
  services: Services,
  { path }: ModelSummary,
  title: string,
): ReturnType<typeof chooseFormat> {
  const answers = await services.models.outputs(path, { remove: [] });
  const own = answers.find(({ isDefault }) => isDefault)?.format;
  const others = onePerFormat(answers).filter(({ format }) => format !== own || format === 'gguf');
  const [first] = others;
  if (first?.able === false && others.every(({ able }) => !able)) {
    throw refused(first, path, 'format');
  }
  return chooseFormat(title, others);
}

/** One answer per format: with nothing removed, its layouts are alike, so the first writable one is used. */
function onePerFormat(answers: readonly CheckedOutput[]): CheckedOutput[] {
  const formats = [...new Set(answers.map(({ format }) => format))];
  return formats.flatMap((format) => {
    const all = answers.filter((answer) => answer.format === format);
    return all.find(({ able }) => able) ?? all.slice(0, 1);
  });
}

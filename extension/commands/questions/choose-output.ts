import { basename, dirname, relative, resolve, sep } from 'node:path';
import { commands, l10n, workspace } from 'vscode';
import type { Uri } from 'vscode';
import type { LayoutName } from '../../core/export/hugging-face/layouts';
import type { Plan } from '../../core/plans/plan';
import type { OutputFormat } from '../../core/export/output-formats';
import type { CheckedOutput, OutputTarget } from '../../core/export/output-options';
import type { ModelSummary } from '../../core/models/model-summary';
import { imatrix } from '../../core/operations/imatrix';
import { fileExists } from '../../services/documents/documents';
import { freeName } from '../../services/documents/free-name';
import { importanceEnding, isModelFile, modelStem } from '../../services/documents/model-file';
import type { Services } from '../../services/services';
import { askText } from './ask';
import { chooseFormat } from './choose-format';
import { savingOnly } from './format-rows';
import { chooseTypes } from './choose-types';
import type { TypeAnswer, TypeOptions, TypeQuestion } from './choose-types';
import { followedBy } from './steps';

/** Answers given in advance to the questions of the command. */
export interface OutputOptions extends TypeOptions {
  readonly format?: OutputFormat;
  /** Layout of the format; its default one if undefined. */
  readonly layout?: LayoutName;
  /** Path of the new folder. */
  readonly out?: string;
  /** Replace an existing folder without asking. */
  readonly overwrite?: boolean;
}

/** Titles of the questions about an output, and the suffix of its folder. */
export interface OutputWords {
  readonly formatTitle: string;
  readonly folderTitle: string;
  readonly suffix: string;
  /** True if the plan keeps limits, so that formats which save no bytes are left out. */
  readonly hasLimits?: boolean;
  /** Question about the quantization types of a GGUF file; undefined if it isn't asked. */
  readonly types?: TypeQuestion;
}

/** Path and format of a changed model. */
interface Output extends OutputTarget, TypeAnswer {
  readonly out: string;
  readonly overwrite: boolean;
}

/** Asks for the format and the path of a plan's result; undefined if the user cancels. */
export async function chooseOutput(
  services: Services,
  { path: model }: ModelSummary,
  plan: Plan,
  options: OutputOptions,
  words: OutputWords,
): Promise<Output | undefined> {
  const { remove, widths = [], compress = [], patch = [], types } = plan;
  const outputs = async (): Promise<readonly CheckedOutput[]> => {
    const all = await services.models.outputs(model, {
      remove,
      widths,
      compress,
      patch: patch.map(({ sublayer }) => sublayer),
    });
    const answers = words.hasLimits === true ? savingOnly(all) : all;
    if (types === undefined) {
      return answers;
    }
    // Only GGUF files have types, in any layout.
    const typed = answers.filter(({ format }) => format === 'gguf');
    const able = typed.find((answer) => answer.able);
    return able === undefined ? typed : [able];
  };
  const target =
    askedTarget(options) ??
    (await followedBy(1, async () => chooseFormat(words.formatTitle, await outputs())));
  const asked =
    types === undefined ? words : { ...words, types: { ...words.types, planned: plan } };
  return target && chooseRest(model, target, options, asked);
}

/** Requested format, if the caller set one. */
export const askedTarget = ({ format, layout }: OutputOptions): OutputTarget | undefined =>
  format && { format, ...(layout === undefined ? {} : { layout }) };

/** Types and folder of an output in a known format; undefined when the user breaks off. */
export async function chooseRest(
  model: string,
  { format, layout }: OutputTarget,
  options: OutputOptions,
  { formatTitle, folderTitle, suffix, types: question }: OutputWords,
): Promise<Output | undefined> {
  const { type, imatrix } = options;
  const given: TypeAnswer = {
    ...(type === undefined ? {} : { type }),
    ...(imatrix === undefined ? {} : { imatrix }),
  };
  const isAsked = question !== undefined && format === 'gguf' && options.format === undefined;
  const types = isAsked
    ? await followedBy(1, async () => chooseTypes(formatTitle, model, question))
    : given;
  if (types === undefined) {
    return undefined;
  }
  const converts = format !== 'safetensors' && !isModelFile(model);
  const ending = types.type ?? (converts ? format : undefined);
  const defaultName = `${modelStem(model)}${suffix}${ending === undefined ? '' : `-${ending}`}`;
  const folder = await chooseFolder(model, defaultName, folderTitle, options);
  return folder && { format, ...(layout === undefined ? {} : { layout }), ...types, ...folder };
}

/** Adds the path of an importance matrix to the output, measuring the matrix first if requested. */
export async function withImportance(
  { jobs, settings }: Services,
  model: ModelSummary,
  { measure = false, ...output }: Output,
): Promise<Omit<Output, 'measure'>> {
  if (!measure) {
    return output;
  }
  const out = await freeName(modelStem(model.path), importanceEnding);
  const request = settings.request(imatrix, { model: model.path, out });
  const { path } = await jobs.run({ operation: 'imatrix', name: model.name, request });
  return { ...output, imatrix: path };
}

/** Asks for a new folder. An existing one is allowed only if the caller named it. Undefined if the user cancels. */
export async function chooseFolder(
  source: string,
  defaultName: string,
  title: string,
  options: Pick<OutputOptions, 'out' | 'overwrite'>,
): Promise<{ readonly out: string; readonly overwrite: boolean } | undefined> {
  const out = options.out ?? (await askFolder(source, await freeName(defaultName), title));
  return out === undefined ? undefined : { out, overwrite: options.overwrite === true };
}

async function askFolder(
  source: string,
  defaultName: string,
  title: string,
): Promise<string | undefined> {
  const name = defaultName.length - basename(defaultName).length;
  const typed = await askText({
    title,
    prompt: l10n.t('The original is not changed.'),
    value: defaultName,
    valueSelection: [name, defaultName.length],
    validateInput: async (value) =>
      explainUnfit(value, source) ?? (await explainTaken(value, source)),
  });
  return typed === undefined ? undefined : resolve(dirname(source), typed.trim());
}

/** Existing files are never deleted to make room. */
async function explainTaken(value: string, source: string): Promise<string | undefined> {
  const path = resolve(dirname(source), value.trim());
  return (await fileExists(path))
    ? l10n.t('{0} exists. Choose another name.', basename(path))
    : undefined;
}

/** Reason why a path cannot be the new folder, if any. */
export function explainUnfit(value: string, source: string): string | undefined {
  if (value.trim() === '') {
    return l10n.t('Write the path of the new folder.');
  }
  const path = resolve(dirname(source), value.trim());
  const suffix = /\.(?:gguf|onnx|safetensors)$/i.exec(path)?.[0];
  if (suffix !== undefined) {
    return l10n.t('A folder is written: leave out {0}.', suffix);
  }
  const contains = (outer: string, inner: string): boolean => {
    const way = relative(outer, inner);
    return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(way) !== way);
  };
  return contains(source, path) || contains(path, source)
    ? l10n.t('Choose a folder outside of the original.')
    : undefined;
}

/** Shows a folder in the explorer, or in the system's file manager if it is outside the workspace. */
export async function revealFolder(uri: Uri): Promise<void> {
  const isInWorkspace = workspace.getWorkspaceFolder(uri) !== undefined;
  await commands.executeCommand(isInWorkspace ? 'revealInExplorer' : 'revealFileInOS', uri);
}

import { basename, dirname, relative, resolve, sep } from 'node:path';
import { commands, l10n, workspace } from 'vscode';
import type { Uri } from 'vscode';
import type { LayoutName } from '../../core/export/hugging-face/layouts';
import type { Plan } from '../../core/plans/plan';
import type { OutputFormat } from '../../core/export/output-formats';
import type { ModelSummary } from '../../core/models/model-summary';
import { fileExists } from '../../services/documents/documents';
import { freeName } from '../../services/documents/free-name';
import { isModelFile, modelStem } from '../../services/documents/model-file';
import type { Services } from '../../services/services';
import { askText } from './ask';
import { chooseFormat } from './choose-format';

/** Answers given beforehand, so that nothing is asked. */
export interface OutputOptions {
  readonly format?: OutputFormat;
  /** Of the format; the default one when absent. */
  readonly layout?: LayoutName;
  /** Path of the new folder. */
  readonly out?: string;
  /** Replace an existing folder without asking. */
  readonly overwrite?: boolean;
}

/** What questions about an output are called, and how its folder ends. */
export interface OutputWords {
  readonly formatTitle: string;
  readonly folderTitle: string;
  readonly suffix: string;
}

/** Where a changed model is written, and as what. */
type Output = Required<Omit<OutputOptions, 'layout'>> & Pick<OutputOptions, 'layout'>;

/** In which format and where a plan's result is written; undefined when the user breaks off. */
export async function chooseOutput(
  services: Services,
  { path: model }: ModelSummary,
  { remove, narrow = [], compress = [], patch = [] }: Plan,
  options: OutputOptions,
  { formatTitle, folderTitle, suffix }: OutputWords,
): Promise<Output | undefined> {
  const target =
    options.format === undefined
      ? await chooseFormat(
          formatTitle,
          await services.models.outputs(model, {
            remove,
            narrow,
            compress: compress.map(({ tensor }) => tensor),
            patch: patch.map(({ sublayer }) => sublayer),
          }),
        )
      : { format: options.format, layout: options.layout };
  if (target === undefined) {
    return undefined;
  }
  const { format, layout } = target;
  const converts = format === 'onnx' && !isModelFile(model);
  const usual = `${modelStem(model)}${suffix}${converts ? '-onnx' : ''}`;
  const folder = await chooseFolder(model, usual, folderTitle, options);
  return folder === undefined
    ? undefined
    : { format, ...(layout === undefined ? {} : { layout }), ...folder };
}

/** A new folder; an existing one only where that was said beforehand. Undefined when the user breaks off. */
export async function chooseFolder(
  source: string,
  usual: string,
  title: string,
  options: Pick<OutputOptions, 'out' | 'overwrite'>,
): Promise<{ readonly out: string; readonly overwrite: boolean } | undefined> {
  const out = options.out ?? (await askFolder(source, await freeName(usual), title));
  return out === undefined ? undefined : { out, overwrite: options.overwrite === true };
}

async function askFolder(
  source: string,
  usual: string,
  title: string,
): Promise<string | undefined> {
  const name = usual.length - basename(usual).length;
  const typed = await askText({
    title,
    prompt: l10n.t('The original is left as it is.'),
    value: usual,
    valueSelection: [name, usual.length],
    validateInput: async (value) => whyUnfit(value, source) ?? (await whyTaken(value, source)),
  });
  return typed === undefined ? undefined : resolve(dirname(source), typed.trim());
}

/** Nothing is ever deleted to make room. */
async function whyTaken(value: string, source: string): Promise<string | undefined> {
  const path = resolve(dirname(source), value.trim());
  return (await fileExists(path))
    ? l10n.t('{0} exists. Choose another name.', basename(path))
    : undefined;
}

/** Why a path cannot be the new folder, if so. */
export function whyUnfit(value: string, source: string): string | undefined {
  if (value.trim() === '') {
    return l10n.t('Write the path of the new folder.');
  }
  const path = resolve(dirname(source), value.trim());
  const contains = (outer: string, inner: string): boolean => {
    const way = relative(outer, inner);
    return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(way) !== way);
  };
  return contains(source, path) || contains(path, source)
    ? l10n.t('Choose a folder outside of the original.')
    : undefined;
}

/** Shows a folder in the explorer, or in the system's where it is not of the workspace. */
export async function revealFolder(uri: Uri): Promise<void> {
  const inWorkspace = workspace.getWorkspaceFolder(uri) !== undefined;
  await commands.executeCommand(inWorkspace ? 'revealInExplorer' : 'revealFileInOS', uri);
}

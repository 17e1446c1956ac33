import { basename, extname } from 'node:path';
import { commands, env, Uri } from 'vscode';
import { findDocumentType, manifestName } from '../core/document-names';
import { commandIds } from '../services/command-ids';
import { fileExists, isProfile } from '../services/documents/documents';
import { modelFolder } from '../services/documents/model-file';
import type { Services } from '../services/services';
import { revealFolder } from './questions/choose-output';
import { requireUri } from './target';

/** Documents without an editor of their own, which open as a report. */
const reported = new Set(['evaluation', 'experiment']);

/** Opens the report of a result: its panel, a page, or the report of a model that Espalier wrote. */
export async function openResult(services: Services, argument: unknown): Promise<void> {
  const file = requireUri(argument);
  const { fsPath } = file;
  const kind = findDocumentType(fsPath);
  if (isProfile(fsPath)) {
    await commands.executeCommand(commandIds.openHeatmap, file);
  } else if (kind !== undefined && reported.has(kind)) {
    await showReport(services, fsPath, fsPath);
  } else if (kind !== undefined) {
    await commands.executeCommand('vscode.open', file);
  } else if (/\.report\.(?:html|md)$/.test(fsPath)) {
    await openPage(file);
  } else {
    await openModelReport(services, fsPath);
  }
}

/** Opens a page in the browser, and Markdown in the preview. */
export async function openPage(file: Uri): Promise<void> {
  await (extname(file.path) === '.md'
    ? commands.executeCommand('markdown.showPreview', file)
    : env.openExternal(file));
}

/** The report that was shown when the model was written if it is kept, else one by its manifest. */
async function openModelReport(services: Services, model: string): Promise<void> {
  const folder = modelFolder(model);
  if (await services.resultReports.reopen(folder)) {
    return;
  }
  const manifest = Uri.joinPath(Uri.file(folder), manifestName).fsPath;
  if (await fileExists(manifest)) {
    await showReport(services, folder, manifest);
  } else {
    await services.explorers.show(model);
  }
}

async function showReport(
  { documents, reports }: Services,
  path: string,
  about: string,
): Promise<void> {
  await reports.showText(basename(path), path, await documents.report(about));
}

/** Shows a model or a result in the Explorer, or in the system's file manager if it is outside of the workspace. */
export async function revealPath(_: Services, argument: unknown): Promise<void> {
  await revealFolder(requireUri(argument));
}

/** Copies the path of a model or a result. */
export async function copyPath(_: Services, argument: unknown): Promise<void> {
  await env.clipboard.writeText(requireUri(argument).fsPath);
}

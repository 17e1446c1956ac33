import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { defaultDocumentPath, isDocument } from '../../core/document-names';
import type { DocumentId } from '../../core/document-names';
import type { ShownContent } from '../../core/documents/document-types';
import type { PlanProblem } from '../../core/plans/plan-problems';
import type { ModelSummary } from '../../core/models/model-summary';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import type { EvolutionState, EvolutionView } from '../../core/symbolic/evolution/evolution-view';
import type { QuestionRequests } from '../../core/operations/questions/questions';
import type { WorkerClient } from '../worker/worker-client';
import { isModelFile } from './model-file';

const siblingPath =
  (id: DocumentId) =>
  (source: string): string =>
    defaultDocumentPath(id, source);
export const defaultProfilePath = siblingPath('layerProfile');
export const defaultSensitivityPath = siblingPath('sensitivity');
export const defaultPlanPath = siblingPath('plan');
export const defaultScoresPath = siblingPath('scores');

const named =
  (id: DocumentId) =>
  (path: string): boolean =>
    isDocument(id, path);
export const isProfile = named('layerProfile');
export const isScores = named('scores');
export const isSensitivity = named('sensitivity');
export const isPlan = named('plan');

/**
 * Path of a document's model: the recorded path, or one next to the document; undefined if neither
 * exists.
 */
export async function findModel(
  { path, name }: Pick<ModelSummary, 'path' | 'name'>,
  document: string,
): Promise<string | undefined> {
  const isFile = isModelFile(path);
  for (const place of [path, join(dirname(document), isFile ? basename(path) : name)]) {
    if (await fileExists(isFile ? place : join(place, 'config.json'))) {
      return place;
    }
  }
  return undefined;
}

/**
 * Reads documents for display. The inspector process parses and checks them, because a long one would block the editor.
 */
export class Documents {
  readonly #inspector: Pick<WorkerClient<QuestionRequests>, 'request'>;

  public constructor(inspector: Pick<WorkerClient<QuestionRequests>, 'request'>) {
    this.#inspector = inspector;
  }

  /**
   * @param text content of an editor, instead of the file's
   * @throws UserError if the file is missing or not such a document.
   */
  public async read<Id extends DocumentId>(
    id: Id,
    file: string,
    text?: string,
  ): Promise<ShownContent<Id>> {
    const request = { id, file, ...(text === undefined ? {} : { text }) };
    return (await this.#inspector.request('document', request)) as ShownContent<Id>;
  }

  /** Report of a document, or of a model that Espalier wrote by its manifest, as Markdown. */
  public async report(file: string): Promise<string> {
    return this.#inspector.request('documentReport', { file });
  }

  /** Problems in the text of a plan, by position. */
  public async problemsOfPlan(file: string, text: string): Promise<readonly PlanProblem[]> {
    return this.#inspector.request('checkPlan', { file, text });
  }

  /** Puts perplexities that were measured after the search into the profile they belong to, if there is one. */
  public async keepEvaluations(
    profile: string,
    fingerprint: string,
    evaluations: readonly ProfileEvaluation[],
  ): Promise<void> {
    if (await fileExists(profile)) {
      const request = { profile, fingerprint, evaluations };
      await this.#inspector.request('keepEvaluations', request);
    }
  }

  /** Display data of a running evolution. */
  public async viewEvolution(state: EvolutionState): Promise<EvolutionView> {
    return this.#inspector.request('viewEvolution', state);
  }
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

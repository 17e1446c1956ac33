import {
  Diagnostic,
  DiagnosticSeverity,
  Disposable,
  l10n,
  languages,
  Range,
  workspace,
} from 'vscode';
import type { DiagnosticCollection, TextDocument } from 'vscode';
import { findNodeAtLocation, parseTree } from 'jsonc-parser';
import type { ChoiceProblem } from '../core/pipelines/compression/layer-choices';
import { parsePlan } from '../core/plans/plan-schema';
import { UserError } from '../core/user-error';
import { isPlan, modelPathOfPlan } from '../services/documents/documents';
import type { OpenModels } from '../services/documents/open-models';
import { describeError } from '../services/report-error';
import { planProblems } from './plan-problems';
import type { PlanProblem } from './plan-problems';
import { joined, verbatim } from '../core/message';
import { localise } from '../services/localise';

const delayMilliseconds = 300;

/** Marks what is wrong in open prune plans, checked against the model they are for. */
export class PlanDiagnostics implements Disposable {
  readonly #models: OpenModels;
  readonly #collection: DiagnosticCollection;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #disposable: Disposable;

  public constructor(models: OpenModels) {
    this.#models = models;
    this.#collection = languages.createDiagnosticCollection('espalier');
    this.#disposable = Disposable.from(
      this.#collection,
      workspace.onDidOpenTextDocument((document) => {
        this.#schedule(document, 0);
      }),
      workspace.onDidChangeTextDocument(({ document }) => {
        this.#schedule(document, delayMilliseconds);
      }),
      workspace.onDidCloseTextDocument((document) => {
        this.#collection.delete(document.uri);
      }),
    );
    for (const document of workspace.textDocuments) {
      this.#schedule(document, 0);
    }
  }

  public dispose(): void {
    for (const timer of this.#timers.values()) {
      clearTimeout(timer);
    }
    this.#disposable.dispose();
  }

  #schedule(document: TextDocument, milliseconds: number): void {
    if (!isPlan(document.uri.path) || document.uri.scheme !== 'file') {
      return;
    }
    const key = document.uri.toString();
    clearTimeout(this.#timers.get(key));
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        void this.#check(document);
      }, milliseconds),
    );
  }

  async #check(document: TextDocument): Promise<void> {
    const { version } = document;
    const diagnostics = await this.#diagnose(document);
    if (!document.isClosed && document.version === version) {
      this.#collection.set(document.uri, diagnostics);
    }
  }

  async #diagnose(document: TextDocument): Promise<Diagnostic[]> {
    const text = document.getText();
    const path = document.uri.fsPath;
    try {
      const plan = parsePlan(text, path);
      const modelPath = modelPathOfPlan(plan, path);
      const model = await this.#models.summary(modelPath).catch((error: unknown) => {
        throw new UserError(verbatim(describeError(error)), {
          field: 'model.path',
          remedy: undefined,
        });
      });
      const { compress = [], remove } = plan;
      // A plan that only the worker can judge is judged when it is carried out.
      const choices = await this.#models
        .choiceProblems(modelPath, compress, remove)
        .catch((): readonly ChoiceProblem[] => []);
      return [
        ...planProblems(text, model).map((problem) =>
          diagnostic(
            new Range(
              document.positionAt(problem.offset),
              document.positionAt(problem.offset + problem.length),
            ),
            describe(problem.problem),
            problem.severity,
          ),
        ),
        ...choices.map(({ index, problem, remedy }) =>
          diagnostic(
            rangeOfField(document, `compress[${index}].tensor`),
            localise(joined([problem, remedy])),
            'error',
          ),
        ),
      ];
    } catch (error) {
      if (!(error instanceof UserError)) {
        throw error;
      }
      const { problem, subject } = error;
      const message = localise(joined([problem, subject.remedy]));
      return [diagnostic(rangeOfField(document, subject.field), message, 'error')];
    }
  }
}

function diagnostic(range: Range, message: string, severity: PlanProblem['severity']): Diagnostic {
  const made = new Diagnostic(
    range,
    message,
    severity === 'error' ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning,
  );
  made.source = 'Espalier';
  return made;
}

/** Where a field such as `remove[2]` or `model.path` stands; the first line where it does not. */
function rangeOfField(document: TextDocument, field: string | undefined): Range {
  const root = field === undefined ? undefined : parseTree(document.getText());
  const path = (field ?? '')
    .split(/[.[\]]+/)
    .filter((part) => part !== '')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  for (let length = path.length; root !== undefined && length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (node !== undefined) {
      return new Range(
        document.positionAt(node.offset),
        document.positionAt(node.offset + node.length),
      );
    }
  }
  return document.lineAt(0).range;
}

function describe(problem: PlanProblem['problem']): string {
  switch (problem.kind) {
    case 'unknown-id':
      return problem.nearest === undefined
        ? l10n.t('The model has no sublayer or block "{0}".', problem.id)
        : l10n.t(
            'The model has no sublayer or block "{0}". Did you mean "{1}"?',
            problem.id,
            problem.nearest,
          );
    case 'repeated-id':
      return l10n.t('"{0}" is already in this list.', problem.id);
    case 'compressed-twice':
      return l10n.t('"{0}" is compressed twice: keep one of its choices.', problem.tensor);
    case 'removed-and-protected':
      return l10n.t('"{0}" is both removed and protected.', problem.id);
    case 'no-expert-left':
      return l10n.t(
        'This removes all experts of {0}. Write {0} to remove the whole mixture, or keep one of them.',
        problem.mixture,
      );
    case 'nothing-left':
      return l10n.t('This removes every sublayer: nothing would be left to run.');
    case 'other-model':
      return l10n.t(
        'The plan was made for other weights or another config.json than the model has now. Profile again, or delete this line to use it all the same.',
      );
  }
}

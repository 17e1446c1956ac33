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
import { isPlan } from '../services/documents/documents';
import type { Documents } from '../services/documents/documents';
import { describeError } from '../services/report-error';
import type { PlanProblem } from '../core/plans/plan-problems';

const delayMilliseconds = 300;

/** Marks what is wrong in open prune plans, checked against the model they are for. */
export class PlanDiagnostics implements Disposable {
  readonly #documents: Documents;
  readonly #collection: DiagnosticCollection;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #disposable: Disposable;

  public constructor(documents: Documents) {
    this.#documents = documents;
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
    const diagnostics = await this.#diagnose(document).catch((error: unknown) => [
      // For example from a process that has ended.
      diagnostic(document.lineAt(0).range, describeError(error), 'error'),
    ]);
    if (!document.isClosed && document.version === version) {
      this.#collection.set(document.uri, diagnostics);
    }
  }

  async #diagnose(document: TextDocument): Promise<Diagnostic[]> {
    const problems = await this.#documents.problemsOfPlan(document.uri.fsPath, document.getText());
    return problems.map(({ offset, length, problem, severity }) => {
      const range = new Range(document.positionAt(offset), document.positionAt(offset + length));
      return diagnostic(range, describe(problem), severity);
    });
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

function describe(problem: PlanProblem['problem']): string {
  switch (problem.kind) {
    case 'message':
      return describeError(problem.message);
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
        'This removes all experts of {0}. Write {0} to remove the whole MoE layer, or keep one of them.',
        problem.mixture,
      );
    case 'too-few-experts':
      return l10n.t(
        'This leaves too few experts of {0}: keep {1}, or write {0} to remove the whole MoE layer.',
        problem.mixture,
        problem.least,
      );
    case 'nothing-left':
      return l10n.t('This removes every sublayer: nothing would be left to run.');
    case 'other-model':
      return l10n.t(
        'The plan was made for other weights or another config.json than the model has now. Profile again, or delete this field to use it anyway.',
      );
  }
}

import { basename } from 'node:path';
import {
  l10n,
  LanguageModelTextPart,
  LanguageModelToolResult,
  MarkdownString,
  workspace,
} from 'vscode';
import type { CancellationToken, LanguageModelTool, PreparedToolInvocation } from 'vscode';
import { formatEstimate } from '../core/format';
import type { Translate } from '../core/message';
import { shortenResult } from '../core/operations/shorten-result';
import type { AnyOperation } from '../core/operations/operation';
import type { OperationId } from '../core/operations/operations';
import { editorOperations, editorToolName, isReading } from '../core/operations/tool-names';
import { getOperation } from './jobs/operations';
import type { Operation, RequestOf } from './jobs/operations';
import { describeError } from './report-error';
import type { Services } from './services';
import { resolvePaths } from './settings';
import { assertAllowed, explainBlocked } from './trust';

/** Titles of jobs are in the list of operations. */
const translate: Translate = l10n.t;

type Given = Readonly<Record<string, unknown>>;

/** Request to an operation, and the name of the model or dataset. */
interface Asked {
  readonly id: OperationId;
  readonly request: object;
  readonly name: string;
}

/**
 * Exposes operations as tools of the editor's agents. Long-running or writing operations ask for confirmation and run
 * as jobs.
 */
export function agentTool(services: Services, name: string): AgentTool {
  const operation = editorOperations.find((one) => editorToolName(one) === name);
  if (operation === undefined) {
    throw new RangeError(`there is no tool ${name}`);
  }
  return new AgentTool(services, operation);
}

class AgentTool implements LanguageModelTool<Given> {
  public constructor(
    private readonly services: Services,
    private readonly operation: AnyOperation,
  ) {}

  public async prepareInvocation({
    input,
  }: {
    readonly input: Given;
  }): Promise<PreparedToolInvocation> {
    const { id, request, name } = await this.#asked(input);
    const invocationMessage = translate(getOperation(id).title, name);
    if (isReading(this.operation)) {
      return { invocationMessage };
    }
    const seconds = await this.services.inspector
      .request('estimate', { operation: id, request })
      .catch(() => null);
    const time =
      seconds === null
        ? l10n.t('This may take minutes to hours on this machine.')
        : l10n.t('This takes about {0} on this machine.', formatEstimate(seconds));
    const message = new MarkdownString(time);
    message.appendCodeblock(JSON.stringify(input, undefined, 2), 'json');
    return { invocationMessage, confirmationMessages: { title: invocationMessage, message } };
  }

  public async invoke(
    { input }: { readonly input: Given },
    token: CancellationToken,
  ): Promise<LanguageModelToolResult> {
    try {
      const asked = await this.#asked(input);
      const result = await this.#run(asked, token);
      const { out } = asked.request as { readonly out?: unknown };
      const text = shortenResult({ ...(out === undefined ? {} : { out }), result });
      return new LanguageModelToolResult([new LanguageModelTextPart(text)]);
    } catch (error) {
      // The language model reads it.
      throw new Error(describeError(error), { cause: error });
    }
  }

  async #asked(input: Given): Promise<Asked> {
    const { operation, services } = this;
    const id = operation.id as OperationId;
    const built = services.settings.request(operation, resolvePaths(operation.fields, input));
    const out = 'out' in built ? undefined : await operation.suggestOut?.(built);
    const request = out === undefined ? built : { ...built, out };
    return { id, request, name: basename(getOperation(id).subject(request)) };
  }

  async #run({ id, request, name }: Asked, token: CancellationToken): Promise<unknown> {
    const { jobs, worker } = this.services;
    if (isReading(this.operation)) {
      return worker.request(id, request as RequestOf<Operation>, { token });
    }
    assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
    return jobs.run({ operation: id, name, request: request as RequestOf<Operation>, token });
  }
}

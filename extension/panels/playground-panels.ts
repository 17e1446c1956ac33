import { array, parse, string } from 'valibot';
import { workspace } from 'vscode';
import type { Uri, WebviewPanel } from 'vscode';
import type { GenerationEvent } from '../core/generate/generate';
import { generate } from '../core/operations/generate';
import { tellDone } from '../services/activation/steps-done';
import { localise } from '../services/localise';
import { describeError } from '../services/report-error';
import type { OpenModels } from '../services/documents/open-models';
import type { Playgrounds } from '../services/services';
import { PlaygroundSession } from '../services/sessions/playground-session';
import type { Settings } from '../services/settings';
import { refreshOnTrust, explainBlocked } from '../services/trust';
import type { WorkerClient } from '../services/worker/worker-client';
import { newTab, Panels, requireSavedText } from './panels';
import { playgroundPanel } from './playground-panel';
import type { PlaygroundPanel } from './playground-panel';
import { SessionPanel } from './session-panel';

/** The open playgrounds. */
export class PlaygroundPanels
  extends Panels<PlaygroundSession, PlaygroundPanel>
  implements Playgrounds
{
  readonly #settings: Settings;
  readonly #newWorker: () => WorkerClient;

  readonly #models: OpenModels;

  /** @param newWorker starts a process per playground: it waits for no job, and closing the tab frees its memory */
  public constructor(
    extension: Uri,
    settings: Settings,
    models: OpenModels,
    newWorker: () => WorkerClient,
  ) {
    super(
      extension,
      refreshOnTrust(() => this.panels.map(({ session }) => session)),
    );
    this.#settings = settings;
    this.#models = models;
    this.#newWorker = newWorker;
  }

  public show(models: readonly string[]): void {
    const open = this.panels.find(({ session }) => session.models.join('\n') === models.join('\n'));
    if (open === undefined) {
      const session = this.#session(models);
      this.#keep(
        newTab(playgroundPanel, playgroundPanel.getTitle(session), models.at(-1) ?? ''),
        session,
      );
    } else {
      open.show(open.session);
    }
  }

  protected restore(panel: WebviewPanel, saved: unknown): void {
    const models = parse(array(string()), JSON.parse(requireSavedText(saved, 'models')));
    this.#keep(panel, this.#session(models));
  }

  #keep(panel: WebviewPanel, session: PlaygroundSession): void {
    const made = new SessionPanel(panel, this.extension, playgroundPanel, session);
    const listening = session.changed.listen((fields) => {
      if (fields.includes('models')) {
        panel.title = playgroundPanel.getTitle(session);
      }
    });
    made.onDidDispose(() => {
      listening.dispose();
      session.dispose();
    });
    this.keep(made);
  }

  #session(models: readonly string[]): PlaygroundSession {
    const worker = this.#newWorker();
    return new PlaygroundSession(models, {
      generate: async ([model = '', against], prompt, turns, { onEvent, ...watch }) => {
        const request = this.#settings.request(generate, {
          ...{ model, ...prompt },
          ...(against === undefined ? {} : { against }),
        });
        const asked = { request, turns };
        const result = await worker.request('converse', asked, {
          ...watch,
          onEvent: (event) => {
            onEvent(event as GenerationEvent);
          },
        });
        tellDone('generate');
        return result;
      },
      hasChatTemplate: async (model) => this.#models.hasChatTemplate(model),
      describeError,
      localise,
      blocked: () => explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
      dispose: () => {
        worker.dispose();
      },
    });
  }
}

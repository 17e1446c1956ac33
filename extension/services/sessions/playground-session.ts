import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import type { GeneratedToken, GenerationEvent } from '../../core/generate/generate';
import type { Message } from '../../core/message';
import type { GenerationResult } from '../../core/operations/generate';
import type {
  PlaygroundPace,
  PlaygroundPrompt,
  PlaygroundRun,
  PlaygroundState,
  Turn,
} from '../../protocol/playground';
import type { Refusal } from '../trust';
import { RequestCancelled } from '../worker/worker-errors';
import type { RequestWatch } from '../worker/worker-process';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';

/** Calls of one request. */
export interface GenerationWatch extends Pick<RequestWatch, 'token'> {
  readonly onEvent: (event: GenerationEvent) => void;
  readonly onWarning: (warning: Message) => void;
}

/** Dependencies of a session. */
export interface PlaygroundEnvironment {
  generate(
    models: readonly string[],
    prompt: PlaygroundPrompt,
    turns: readonly Turn[],
    watch: GenerationWatch,
  ): Promise<GenerationResult>;
  hasChatTemplate(model: string): Promise<boolean>;
  describeError(error: unknown): string;
  localise(message: Message): string;
  /** Reason why models cannot be run, if any. */
  blocked(): Refusal | undefined;
  /** Ends the process that the models run in. */
  dispose(): void;
}

/** Models that continue prompts side by side. */
export class PlaygroundSession extends PanelSession<PlaygroundState> {
  protected readonly parts: Parts<PlaygroundState> = {
    models: () => this.#models,
    blocked: () => this.#environment.blocked()?.reason,
    run: () => this.#run,
    tokens: () => this.#tokens,
    paces: () => this.#paces,
    warnings: () => this.#warnings,
    turns: () => this.#turns,
    isChat: () => this.#isChat,
    isChatTurn: () => this.#chatted !== undefined,
  };

  readonly #environment: PlaygroundEnvironment;
  #models: readonly string[];
  #isChat = false;
  #run: PlaygroundRun = { kind: 'idle' };
  #tokens: Record<string, GeneratedToken> = {};
  #paces: readonly PlaygroundPace[] = [];
  #warnings: readonly string[] = [];
  #turns: readonly Turn[] = [];
  /** Prompt of the texts shown, if it was part of a chat. */
  #chatted: string | undefined;
  #running: CancellationTokenSource | undefined;
  /** The last request, as long as it is not over. */
  #asked: Promise<void> | undefined;

  /** @param models paths of the original and of the changed model, or of one alone */
  public constructor(models: readonly string[], environment: PlaygroundEnvironment) {
    super();
    this.#models = models;
    this.#environment = environment;
    void this.#askChat();
  }

  public get models(): readonly string[] {
    return this.#models;
  }

  /** Compares the first model with another one; what both have written is forgotten. */
  public compareWith(other: string): void {
    this.stop();
    this.#models = [...this.#models.slice(0, 1), other];
    this.newChat();
    this.tell('models');
    void this.#askChat();
  }

  /** Forgets what was said, and what both have written. */
  public newChat(): void {
    this.stop();
    this.#turns = [];
    this.#chatted = undefined;
    this.#forget({ kind: 'idle' });
    this.tell('turns', 'isChatTurn');
  }

  /**
   * Continues a prompt, in a chat after all previous turns. Stops an answer that is still being
   * written, and keeps the text so far.
   */
  public async generate(prompt: PlaygroundPrompt): Promise<void> {
    const environment = this.#environment;
    this.stop();
    const refusal = environment.blocked();
    if (refusal !== undefined) {
      this.#forget({ kind: 'failed', message: refusal.reason });
      return;
    }
    this.#takeTurn(prompt);
    const source = new CancellationTokenSource();
    this.#running = source;
    const isCurrent = (): boolean => this.#running === source;
    this.#forget({ kind: 'running' });
    // A process that does not stop in time is ended, with all that it was asked.
    while (this.#asked !== undefined && isCurrent()) {
      await this.#asked;
    }
    if (!isCurrent()) {
      return;
    }
    try {
      const answer = environment.generate(this.#models, prompt, this.#turns, {
        token: source.token,
        onEvent: (event) => {
          if (isCurrent()) {
            this.#add(event);
          }
        },
        onWarning: (warning) => {
          if (isCurrent()) {
            this.#warnings = [...this.#warnings, environment.localise(warning)];
            this.tell('warnings');
          }
        },
      });
      this.#asked = answer.then(
        () => {
          this.#asked = undefined;
        },
        () => {
          this.#asked = undefined;
        },
      );
      const { against, ...first } = await answer;
      if (isCurrent()) {
        this.#paces = [first, ...(against === undefined ? [] : [against])].map(
          ({ tokensPerSecond, stopped, llamaCpp }) => ({
            ...{ tokensPerSecond, llamaCpp },
            ended: stopped === 'end',
          }),
        );
        this.#end({ kind: 'done' });
      }
    } catch (error) {
      if (isCurrent()) {
        this.#end(
          error instanceof RequestCancelled
            ? { kind: 'stopped' }
            : { kind: 'failed', message: environment.describeError(error) },
        );
      }
    }
  }

  /** Stops the generation. The text so far remains. */
  public stop(): void {
    if (this.#running !== undefined) {
      this.#running.cancel();
      this.#end({ kind: 'stopped' });
    }
  }

  public refreshBlocked(): void {
    this.tell('blocked');
  }

  public dispose(): void {
    this.stop();
    this.#environment.dispose();
  }

  /** Finds out if all models have a chat template. */
  async #askChat(): Promise<void> {
    const models = this.#models;
    const found = await Promise.all(
      models.map(async (model) =>
        // Generating reports errors of the model.
        this.#environment.hasChatTemplate(model).catch(() => false),
      ),
    );
    if (models === this.#models) {
      this.#isChat = found.every(Boolean);
      this.tell('isChat');
    }
  }

  /** Adds the texts shown to the chat if the next prompt continues it. */
  #takeTurn({ prompt, chat }: PlaygroundPrompt): void {
    const answers = this.#models.map((_, model) => this.#joinText(model));
    if (!chat) {
      this.#turns = [];
    } else if (this.#chatted !== undefined && answers.some((text) => text !== '')) {
      this.#turns = [...this.#turns, { prompt: this.#chatted, answers }];
    }
    this.#chatted = chat ? prompt : undefined;
    this.tell('turns', 'isChatTurn');
  }

  #joinText(model: number): string {
    let text = '';
    for (let place = 0; ; place++) {
      const token = this.#tokens[`${model}.${place}`];
      if (token === undefined) {
        return text;
      }
      text += token.text;
    }
  }

  #forget(run: PlaygroundRun): void {
    this.#run = run;
    this.#tokens = {};
    this.#paces = [];
    this.#warnings = [];
    this.tell('run', 'tokens', 'paces', 'warnings');
  }

  #add({ of, place, token, tokensPerSecond, llamaCpp }: GenerationEvent): void {
    const key = `${of}.${place}`;
    this.#tokens[key] = token;
    this.#paces = this.#models.map((_, model) =>
      model === of
        ? { tokensPerSecond, ended: undefined, llamaCpp }
        : (this.#paces[model] ?? unknownPace),
    );
    this.tellEntry('tokens', key);
    this.tell('paces');
  }

  #end(run: PlaygroundRun): void {
    this.#running = undefined;
    this.#run = run;
    this.tell('run', 'paces');
  }
}

const unknownPace: PlaygroundPace = {
  tokensPerSecond: null,
  ended: undefined,
  llamaCpp: undefined,
};

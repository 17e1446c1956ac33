import { batch } from '@preact/signals-core';
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
import { reactive } from './reactive';

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
    models: () => this.#state.models,
    blocked: () => this.byTrust(() => this.#environment.blocked()?.reason),
    run: () => this.#state.run,
    tokens: () => this.#state.tokens,
    paces: () => this.#state.paces,
    warnings: () => this.#state.warnings,
    turns: () => this.#state.turns,
    isChat: () => this.#state.isChat,
    isChatTurn: () => this.#state.chatted !== undefined,
  };

  protected override readonly records = ['tokens'] as const;
  readonly #state = reactive<{
    models: readonly string[];
    isChat: boolean;
    run: PlaygroundRun;
    tokens: Readonly<Record<string, GeneratedToken>>;
    paces: readonly PlaygroundPace[];
    warnings: readonly string[];
    turns: readonly Turn[];
    /** Prompt of the texts shown, if it was part of a chat. */
    chatted: string | undefined;
  }>({
    models: [],
    isChat: false,
    run: { kind: 'idle' },
    tokens: {},
    paces: [],
    warnings: [],
    turns: [],
    chatted: undefined,
  });
  readonly #environment: PlaygroundEnvironment;
  #running: CancellationTokenSource | undefined;
  /** The last request, until it finishes. */
  #asked: Promise<void> | undefined;

  /** @param models path of one model, or of the original and the changed model */
  public constructor(models: readonly string[], environment: PlaygroundEnvironment) {
    super();
    this.#state.models = models;
    this.#environment = environment;
    void this.#askChat();
  }

  public get models(): readonly string[] {
    return this.#state.models;
  }

  /** Compares the first model with another one. Clears both texts. */
  public compareWith(other: string): void {
    batch(() => {
      this.stop();
      this.#state.models = [...this.#state.models.slice(0, 1), other];
      this.newChat();
    });
    void this.#askChat();
  }

  /** Clears the chat and both texts. */
  public newChat(): void {
    batch(() => {
      this.stop();
      this.#state.turns = [];
      this.#state.chatted = undefined;
      this.#forget({ kind: 'idle' });
    });
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
    const source = new CancellationTokenSource();
    this.#running = source;
    const isCurrent = (): boolean => this.#running === source;
    batch(() => {
      this.#takeTurn(prompt);
      this.#forget({ kind: 'running' });
    });
    // A process that does not stop in time is ended, with all that it was asked.
    while (this.#asked !== undefined && isCurrent()) {
      await this.#asked;
    }
    if (!isCurrent()) {
      return;
    }
    try {
      const answer = environment.generate(this.#state.models, prompt, this.#state.turns, {
        token: source.token,
        onEvent: (event) => {
          if (isCurrent()) {
            this.#add(event);
          }
        },
        onWarning: (warning) => {
          if (isCurrent()) {
            this.#state.warnings = [...this.#state.warnings, environment.localise(warning)];
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
        const paces = [first, ...(against === undefined ? [] : [against])].map(
          ({ tokensPerSecond, stopped, llamaCpp }) => ({
            ...{ tokensPerSecond, llamaCpp },
            ended: stopped === 'end',
          }),
        );
        this.#end({ kind: 'done' }, paces);
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

  public dispose(): void {
    this.stop();
    this.#environment.dispose();
  }

  /** Finds out if all models have a chat template. */
  async #askChat(): Promise<void> {
    const models = this.#state.models;
    const found = await Promise.all(
      models.map(async (model) =>
        // Generating reports errors of the model.
        this.#environment.hasChatTemplate(model).catch(() => false),
      ),
    );
    if (models === this.#state.models) {
      this.#state.isChat = found.every(Boolean);
    }
  }

  /** Adds the texts shown to the chat if the next prompt continues it. */
  #takeTurn({ prompt, chat }: PlaygroundPrompt): void {
    const answers = this.#state.models.map((_, model) => this.#joinText(model));
    if (!chat) {
      this.#state.turns = [];
    } else if (this.#state.chatted !== undefined && answers.some((text) => text !== '')) {
      this.#state.turns = [...this.#state.turns, { prompt: this.#state.chatted, answers }];
    }
    this.#state.chatted = chat ? prompt : undefined;
  }

  #joinText(model: number): string {
    let text = '';
    for (let place = 0; ; place++) {
      const token = this.#state.tokens[`${model}.${place}`];
      if (token === undefined) {
        return text;
      }
      text += token.text;
    }
  }

  #forget(run: PlaygroundRun): void {
    batch(() => Object.assign(this.#state, { run, tokens: {}, paces: [], warnings: [] }));
  }

  #add({ of, place, token, tokensPerSecond, llamaCpp }: GenerationEvent): void {
    const tokens = { ...this.#state.tokens, [`${of}.${place}`]: token };
    const paces = this.#state.models.map((_, model) =>
      model === of
        ? { tokensPerSecond, ended: undefined, llamaCpp }
        : (this.#state.paces[model] ?? unknownPace),
    );
    batch(() => Object.assign(this.#state, { tokens, paces }));
  }

  #end(run: PlaygroundRun, paces = this.#state.paces): void {
    this.#running = undefined;
    batch(() => Object.assign(this.#state, { run, paces }));
  }
}

const unknownPace: PlaygroundPace = {
  tokensPerSecond: null,
  ended: undefined,
  llamaCpp: undefined,
};

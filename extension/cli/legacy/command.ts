import type { JobContext } from '../../core/jobs/job';
import type { OpenModel } from '../../core/models/model-cache';
import type { Terminal } from '../terminal';

/** Options as `util.parseArgs` describes them. */
export type OptionTypes = Readonly<
  Record<string, { readonly type: 'string' | 'boolean'; readonly multiple?: boolean }>
>;

/** What was typed after the command's name. */
export class Arguments {
  public constructor(
    public readonly positionals: readonly string[],
    private readonly values: Readonly<Record<string, unknown>>,
  ) {}

  public text(name: string): string | undefined {
    const value = this.values[name];
    return typeof value === 'string' ? value : undefined;
  }

  public texts(name: string): readonly string[] {
    const value = this.values[name];
    return Array.isArray(value) ? value.map(String).flatMap((part) => part.split(',')) : [];
  }

  public flag(name: string): boolean {
    return this.values[name] === true;
  }

  public number(name: string): number | undefined {
    const text = this.text(name);
    const value = Number(text);
    if (text !== undefined && (text.trim() === '' || !Number.isFinite(value))) {
      throw new UsageError(`--${name} takes a number, not "${text}".`);
    }
    return text === undefined ? undefined : value;
  }

  public choice<T extends string, F extends T | undefined>(
    name: string,
    choices: readonly T[],
    fallback: F,
  ): T | F {
    const text = this.text(name);
    if (text === undefined) {
      return fallback;
    }
    const found = choices.find((choice) => choice === text);
    if (found === undefined) {
      throw new UsageError(`--${name} takes one of ${choices.join(', ')}, not "${text}".`);
    }
    return found;
  }

  /** The two positional arguments. */
  public models(): readonly [model: string, against: string] {
    const [model, against, ...others] = this.positionals;
    if (model === undefined || against === undefined || others.length > 0) {
      throw new UsageError('Name two models: their folders or any of their files.');
    }
    return [model, against];
  }

  /** The only positional argument. */
  public model(): string {
    const [model, ...others] = this.positionals;
    if (model === undefined || others.length > 0) {
      throw new UsageError('Name one model: its folder, config.json or .safetensors file.');
    }
    return model;
  }
}

/** What a command works with. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly job: JobContext<unknown>;
  /** Says what the user can do if the command is stopped. */
  readonly resumeHint: (text: string) => void;
  /** Folder of texts that come with Espalier. */
  readonly samples: string;
  /** Opens a model, each once. */
  readonly open: OpenModel;
  readonly version: string;
}

/** One subcommand of `espalier`. */
export interface Command {
  readonly name: string;
  /** What follows the name, as usage shows it. */
  readonly usage: string;
  readonly summary: string;
  readonly options: OptionTypes;
  run(args: Arguments, context: CommandContext): Promise<void>;
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  public override readonly name = 'UsageError';
}

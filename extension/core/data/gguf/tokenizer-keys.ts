import { readGgufArray } from '../../checkpoints/gguf-values';
import type { GgufScalar, GgufValue } from '../../checkpoints/gguf-values';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Tokens by id, with their types (`enum llama_token_type`). */
export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/** Reader of a file's `tokenizer.ggml.` keys. */
export class TokenizerKeys {
  private known: Vocabulary | undefined;

  public constructor(
    private readonly path: string,
    private readonly metadata: ReadonlyMap<string, GgufValue>,
  ) {}

  public scalar(key: string): GgufScalar | undefined {
    const value = this.metadata.get(`tokenizer.ggml.${key}`);
    return typeof value === 'object' ? undefined : value;
  }

  public get chatTemplate(): string | undefined {
    const template = this.metadata.get('tokenizer.chat_template');
    return typeof template === 'string' ? template : undefined;
  }

  public has(key: string): boolean {
    return this.metadata.has(`tokenizer.ggml.${key}`);
  }

  public async vocabulary(): Promise<Vocabulary> {
    return (this.known ??= await this.readVocabulary());
  }

  private async readVocabulary(): Promise<Vocabulary> {
    const tokens = await this.texts('tokens');
    const types = await this.numbers('token_type');
    if (types.length !== tokens.length) {
      throw this.fault(
        'token_type',
        'gguf-token-types-mismatch',
        say`${types.length} types for ${counted(tokens.length, 'token')}.`,
      );
    }
    return { tokens, types };
  }

  public async texts(key: string): Promise<string[]> {
    return (await this.list(key)).map((value) => {
      if (typeof value !== 'string') {
        throw this.fault(key, 'gguf-list-not-texts', say`It is not a list of texts.`);
      }
      return value;
    });
  }

  public async numbers(key: string): Promise<number[]> {
    return (await this.list(key)).map((value) => {
      if (typeof value !== 'number') {
        throw this.fault(key, 'gguf-list-not-numbers', say`It is not a list of numbers.`);
      }
      return value;
    });
  }

  public fault(key: string, code: ErrorCode, problem: Message): UserError {
    return new UserError(code, problem, {
      file: this.path,
      field: `tokenizer.ggml.${key}`,
      remedy: say`Convert the model again with a recent llama.cpp, or use its Hugging Face folder.`,
    });
  }

  private async list(key: string): Promise<GgufScalar[]> {
    const name = `tokenizer.ggml.${key}`;
    const value = this.metadata.get(name);
    if (typeof value !== 'object') {
      throw this.fault(
        key,
        'gguf-vocabulary-missing',
        say`The file lacks this list, so text can't be tokenized.`,
      );
    }
    return readGgufArray(this.path, name, value);
  }
}

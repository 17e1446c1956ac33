import { Template } from '@huggingface/jinja';
import { CancelledError } from '../jobs/job';
import { withTimeLimit } from '../jobs/time-limit';
import { UserError } from '../user-error';
import type { Tokenizer } from './tokenizer';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { tokenizerPlace } from '../models/tokenizer-place';
import { readTokenizerSettings } from './tokenizer-settings';

/** Time limit for rendering. Far more than a normal template needs; a hostile one may loop forever. */
const maxMilliseconds = 2000;

/** Maximum template length in characters. Published templates have up to about ten thousand. */
const maxCharacters = 500_000;

/** Earlier prompt and the model's answer. */
export interface ChatTurn {
  readonly prompt: string;
  readonly answer: string;
}

/**
 * Renders a conversation with the model's chat template, including the start of the next answer.
 * @throws UserError if the model has no chat template, or rendering fails.
 */
export function renderChat(
  { file, chatTemplate, specialTokens }: Tokenizer,
  message: string,
  turns: readonly ChatTurn[] = [],
): string {
  if (chatTemplate === undefined) {
    throw new UserError('chat-template-missing', say`The model has no chat template.`, {
      file,
      field: 'chat_template',
      remedy: say`Generate without a chat template to continue the prompt as it is.`,
    });
  }
  if (chatTemplate.length > maxCharacters) {
    throw new UserError(
      'chat-template-too-long',
      say`The chat template has ${chatTemplate.length} characters, more than ${maxCharacters}.`,
      { file, field: 'chat_template', remedy: say`Generate without it.` },
    );
  }
  const messages = [
    ...turns.flatMap(({ prompt, answer }) => [
      { role: 'user', content: prompt },
      { role: 'assistant', content: answer },
    ]),
    { role: 'user', content: message },
  ];
  try {
    const render = (): string =>
      new Template(chatTemplate).render({
        messages,
        add_generation_prompt: true,
        ...specialTokens,
      });
    return withTimeLimit(maxMilliseconds, render);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw error;
    }
    throw new UserError(
      'chat-template-failed',
      say`The chat template fails: ${(error as Error).message}.`,
      {
        file,
        field: 'chat_template',
        remedy: say`Correct the template, or generate without it.`,
      },
    );
  }
}

/** True if a model has a chat template, in its GGUF header or next to its tokenizer. */
export async function hasChatTemplate({
  headers,
  path,
}: Pick<OpenedModel, 'headers' | 'path'>): Promise<boolean> {
  if (headers.format === 'gguf') {
    return headers.header.metadata.has('tokenizer.chat_template');
  }
  return (await readTokenizerSettings(tokenizerPlace(path).folder)).chatTemplate !== undefined;
}

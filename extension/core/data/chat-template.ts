import { Template } from '@huggingface/jinja';
import { UserError } from '../user-error';
import type { Tokenizer } from './tokenizer';
import { say } from '../message';

/**
 * A user's message in the form that the model was trained to answer, with the beginning of the answer.
 * @throws UserError when the model has no chat template, or it cannot be rendered.
 */
export function renderChat(
  { file, chatTemplate, specialTokens }: Tokenizer,
  message: string,
): string {
  if (chatTemplate === undefined) {
    throw new UserError(say`The model has no chat template.`, {
      file,
      field: 'chat_template',
      remedy: say`Generate without one: the prompt is then continued as it is.`,
    });
  }
  try {
    return new Template(chatTemplate).render({
      messages: [{ role: 'user', content: message }],
      add_generation_prompt: true,
      ...specialTokens,
    });
  } catch (error) {
    throw new UserError(say`The chat template fails: ${(error as Error).message}.`, {
      file,
      field: 'chat_template',
      remedy: say`Correct the template, or generate without it.`,
    });
  }
}

import { Template } from '@huggingface/jinja';
import { CancelledError } from '../jobs/job';
import { withTimeLimit } from '../jobs/time-limit';
import { UserError } from '../user-error';
import type { Tokenizer } from './tokenizer';
import { say } from '../message';

/** Far more than a template takes; one from a hostile model may count for ever. */
const mostMilliseconds = 2000;

/** Longest template, in characters. Published ones have some ten thousand. */
const mostCharacters = 500_000;

/** What was asked before, and what the model said. */
export interface ChatTurn {
  readonly prompt: string;
  readonly answer: string;
}

/**
 * A conversation in the form that the model was trained on, with the beginning of the next answer.
 * @throws UserError when the model has no chat template, or it cannot be rendered.
 */
export function renderChat(
  { file, chatTemplate, specialTokens }: Tokenizer,
  message: string,
  turns: readonly ChatTurn[] = [],
): string {
  if (chatTemplate === undefined) {
    throw new UserError(say`The model has no chat template.`, {
      file,
      field: 'chat_template',
      remedy: say`Generate without one: the prompt is then continued as it is.`,
    });
  }
  if (chatTemplate.length > mostCharacters) {
    throw new UserError(
      say`The chat template has ${chatTemplate.length} characters, more than ${mostCharacters}.`,
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
    return withTimeLimit(mostMilliseconds, render);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw error;
    }
    throw new UserError(say`The chat template fails: ${(error as Error).message}.`, {
      file,
      field: 'chat_template',
      remedy: say`Correct the template, or generate without it.`,
    });
  }
}

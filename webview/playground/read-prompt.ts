import { getDotPath, safeParse } from 'valibot';
import { playgroundPrompt } from '../../extension/protocol/playground';
import type { PlaygroundPrompt } from '../../extension/protocol/playground';
import type { View } from './view-state';

/** Fields of the form that hold numbers. */
export const numberFields = ['tokens', 'temperature', 'topK', 'topP', 'seed'] as const;
export type NumberField = (typeof numberFields)[number];

/** Prompt of the form, or the invalid field. */
export type Asked =
  | { readonly prompt: PlaygroundPrompt }
  | { readonly wrong: NumberField | 'prompt' };

/**
 * Reads the form. The limits may be left empty.
 * @param isChat true if the models have a chat template
 */
export function readPrompt(view: View, isChat: boolean): Asked {
  if (view.prompt === '') return { wrong: 'prompt' };
  const numbers = numberFields.flatMap((name) => {
    const text = view[name].trim();
    const isLimit = name === 'topK' || name === 'topP';
    if (text === '' && isLimit) return [];
    // An empty text would be 0.
    return [[name, text === '' ? Number.NaN : Number(text)] as const];
  });
  const { prompt, chat = isChat } = view;
  const asked = safeParse(playgroundPrompt, { prompt, chat, ...Object.fromEntries(numbers) });
  if (asked.success) return { prompt: asked.output };
  const [issue] = asked.issues;
  return { wrong: (getDotPath(issue) ?? 'prompt') as NumberField | 'prompt' };
}

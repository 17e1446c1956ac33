import { counted } from '../counted';
import { t } from '../translate';
import type { NumberField } from './read-prompt';
import type { Sureness } from './texts';

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Opening the playground…'),
  title: t('Playground'),
  actions: t('Actions'),
  compareWith: t('Compare With…'),
  compareWithTitle: t('Choose a model to continue the same prompt'),

  // Form
  prompt: t('Prompt'),
  promptHint: t('Write a text to continue. Ctrl+Enter generates.'),
  chat: t('Chat (uses the chat template and the earlier turns)'),
  generate: t('Generate'),
  generateTitle: t('Let every model continue the prompt'),
  newChat: t('New Chat'),
  newChatTitle: t('Clear the earlier turns'),
  conversation: t('Conversation'),
  asked: t('Asked'),
  stop: t('Stop'),
  stopTitle: t('Keep the current turns'),
  sampling: t('Sampling'),
  field: {
    tokens: t('Max tokens'),
    temperature: t('Temperature (0 is greedy)'),
    topK: t('Top k (empty: all)'),
    topP: t('Top p (empty: 1)'),
    seed: t('Seed'),
  } satisfies Record<NumberField, string>,
  wrong: {
    prompt: t('Write a prompt first.'),
    tokens: t('Max tokens must be an integer of at least 1.'),
    temperature: t('The temperature must be a number of at least 0.'),
    topK: t('Top k must be an integer of at least 1, or empty.'),
    topP: t('Top p must be a number from 0 to 1, or empty.'),
    seed: t('The seed must be an integer.'),
  } satisfies Record<NumberField | 'prompt', string>,

  // Texts
  texts: t('Continuations'),
  reading: t('Reading the prompt…'),
  nothing: t('Nothing yet.'),
  tokens: (count: number) => counted(count, 'token'),
  speed: (perSecond: string) => t('{0} tokens/s', perSecond),
  inLlama: (release: string) => t('in llama.cpp {0}', release),
  inEspalier: t('in Espalier'),
  ended: t('reached the end of text'),
  failed: t('Can’t continue the prompt'),
  tokensOf: (model: string) => t('Tokens of {0}', model),
  same: (count: number) => t('The same up to here: {0}.', counted(count, 'token')),
  allSame: t('Both models generated the same text.'),
  differs: (place: number) =>
    place === 0
      ? t('They differ from the first token.')
      : t('They first differ at token {0}.', place + 1),
  announce: (model: string, text: string) => t('{0} wrote: {1}', model, text),

  // One token
  hint: t('Hover over a token, or use the arrow keys, to see how likely it was.'),
  legend: t('Probability of each token'),
  sureness: {
    sure: t('50 % or more'),
    open: t('10 to 50 %'),
    unlikely: t('below 10 %'),
  } satisfies Record<Sureness, string>,
  firstDifferent: t('first difference'),
  whiteSpace: t('white space'),
  noText: t('(no text)'),
  token: t('Token'),
  probability: t('Probability'),
  chances: (model: string, place: number) => t('{0}, token {1}', model, place + 1),
} as const;

import * as v from 'valibot';
import { choicesExample, contextsExample, taskReader } from './task-example';
import type { TaskReader } from './task-example';

const texts = v.pipe(v.array(v.string()), v.minLength(2));
const labelled = v.object({ text: texts, label: v.array(v.string()) });
/** Index, as a number or digits; −1 if missing or invalid. */
const index = v.union([
  v.pipe(v.number(), v.integer()),
  v.pipe(
    v.string(),
    v.transform((digits) => (/^\d+$/.test(digits) ? Number(digits) : -1)),
  ),
]);

/**
 * Readers for rows of datasets that Hugging Face libraries write to JSONL, with the prompts of lm-evaluation-harness
 * 0.4. lambada_openai uses Espalier's text rows.
 */
export const datasetReaders: readonly TaskReader[] = [
  taskReader({
    name: 'openbookqa',
    fields: ['question_stem', 'choices', 'answerKey'],
    schema: v.object({ question_stem: v.string(), choices: labelled, answerKey: v.string() }),
    answer: 'answerKey',
    read: ({ question_stem: question, choices, answerKey }) =>
      choicesExample(question, choices.text, choices.label.indexOf(answerKey.trimStart())),
  }),
  taskReader({
    name: 'arc_easy, arc_challenge',
    fields: ['question', 'choices', 'answerKey'],
    schema: v.object({ question: v.string(), choices: labelled, answerKey: v.string() }),
    answer: 'answerKey',
    read: ({ question, choices, answerKey }) =>
      choicesExample(asked(question), choices.text, choices.label.indexOf(answerKey)),
  }),
  taskReader({
    name: 'piqa',
    fields: ['goal', 'sol1', 'sol2', 'label'],
    schema: v.object({ goal: v.string(), sol1: v.string(), sol2: v.string(), label: index }),
    answer: 'label',
    read: ({ goal, sol1, sol2, label }) => choicesExample(asked(goal), [sol1, sol2], label),
  }),
  taskReader({
    name: 'hellaswag',
    fields: ['activity_label', 'ctx_a', 'ctx_b', 'endings', 'label'],
    schema: v.object({
      activity_label: v.string(),
      ctx_a: v.string(),
      ctx_b: v.string(),
      endings: texts,
      label: index,
    }),
    answer: 'label',
    read: ({ activity_label: activity, ctx_a: first, ctx_b: second, endings, label }) =>
      choicesExample(
        withoutMarks(`${activity}: ${first} ${capitalized(second)}`),
        endings.map(withoutMarks),
        label,
      ),
  }),
  taskReader({
    name: 'winogrande',
    fields: ['sentence', 'option1', 'option2', 'answer'],
    schema: v.object({
      sentence: v.pipe(v.string(), v.includes('_')),
      option1: v.string(),
      option2: v.string(),
      answer: v.string(),
    }),
    answer: 'answer',
    read: ({ sentence, option1, option2, answer }) => {
      const blank = sentence.indexOf('_');
      const before = sentence.slice(0, blank);
      return contextsExample(
        [before + option1, before + option2],
        sentence.slice(blank + 1).trim(),
        ['1', '2'].indexOf(answer),
      );
    },
  }),
  taskReader({
    name: 'boolq',
    fields: ['passage', 'question', 'label|answer'],
    schema: v.object({
      passage: v.string(),
      question: v.string(),
      label: v.optional(v.union([index, v.boolean()])),
      answer: v.optional(v.boolean()),
    }),
    answer: 'label',
    read: ({ passage, question, label, answer }) =>
      choicesExample(
        `${passage}\nQuestion: ${question}?\nAnswer:`,
        ['no', 'yes'],
        Number(label ?? answer),
      ),
  }),
  taskReader({
    name: 'mmlu',
    fields: ['question', 'subject', 'choices', 'answer'],
    schema: v.object({
      question: v.string(),
      subject: v.string(),
      choices: v.pipe(v.array(v.string()), v.length(4)),
      answer: index,
    }),
    answer: 'answer',
    read: ({ question, subject, choices, answer }) => {
      const letters = ['A', 'B', 'C', 'D'];
      const listed = choices.map((choice, i) => `${letters[i] ?? ''}. ${choice}\n`).join('');
      return choicesExample(`${question.trim()}\n${listed}Answer:`, letters, answer, {
        head: `The following are multiple choice questions (with answers) about ${subject.replaceAll('_', ' ')}.\n\n`,
      });
    },
  }),
];

function asked(question: string): string {
  return `Question: ${question}\nAnswer:`;
}

/** Removes the markup of HellaSwag's source pages. */
function withoutMarks(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[[^\n]*?\]/gu, '')
    .replaceAll('  ', ' ');
}

/** Python's `capitalize`: all but the first letter become lowercase. */
function capitalized(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

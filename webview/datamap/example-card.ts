import { h, setAttribute, setText } from '../dom';
import { formatCount, formatDistance, formatPercent } from '../format';
import { pictureOf } from './picture';
import { strings } from './strings';
import type { Example } from './types';

export interface ExampleCard {
  readonly index: number;
  readonly element: HTMLElement;
  setMarked(marked: boolean): void;
  /** Whether this is the example that was looked for. */
  setFound(found: boolean): void;
}

/** One example: what it is, what it is labelled, what the models say, and a button that marks it. */
export function createCard(
  example: Example,
  mark: (index: number, marked: boolean) => void,
): ExampleCard {
  const { index, label, predicted, suspected } = example;
  const name = strings.exampleName(formatCount(index), label);
  const button = h('button', {
    type: 'button',
    class: 'mark-button',
    title: strings.markTitle,
    'aria-label': strings.markLabel(name),
  });
  const element = h(
    'li',
    { class: 'card', 'data-index': index, 'data-suspected': suspected, tabindex: -1 },
    h('div', { class: 'content' }, contentOf(example)),
    h(
      'div',
      { class: 'card-head' },
      h('strong', {}, strings.point(formatCount(index))),
      suspected ? h('span', { class: 'badge' }, strings.suspectedBadge) : undefined,
    ),
    h(
      'dl',
      { class: 'card-facts' },
      ...className(strings.given, label, ''),
      ...className(strings.suggested, predicted === label ? undefined : predicted, 'differs'),
      ...fact(strings.score, scoreText(example)),
      ...fact(
        strings.labelScore,
        example.labelScore === undefined ? undefined : formatPercent(example.labelScore),
        strings.labelScoreTitle,
      ),
    ),
    button,
  );
  let isMarked = false;
  button.addEventListener('click', () => {
    mark(index, !isMarked);
  });
  return {
    index,
    element,
    setMarked: (marked) => {
      isMarked = marked;
      setText(button, marked ? strings.marked : strings.mark);
      setAttribute(button, 'aria-pressed', String(marked));
      setAttribute(element, 'data-marked', marked);
    },
    setFound: (found) => {
      setAttribute(element, 'data-found', found);
      setAttribute(element, 'aria-current', found ? 'true' : undefined);
    },
  };
}

function scoreText({ score, deviation }: Example): string {
  if (score === null) return strings.neverLearned;
  const spread =
    typeof deviation === 'number' ? ` ${strings.deviation(formatDistance(deviation))}` : '';
  return `${formatDistance(score)}${spread}`;
}

function fact(name: string, value: string | undefined, title?: string): HTMLElement[] {
  return value === undefined ? [] : [h('div', { title }, h('dt', {}, name), h('dd', {}, value))];
}

/** Names may be long: what is cut off is in the tooltip. */
function className(fact: string, name: string | undefined, kind: string): HTMLElement[] {
  const shown = h('dd', { class: `class-name ${kind}`, title: name }, name);
  return name === undefined ? [] : [h('div', {}, h('dt', {}, fact), shown)];
}

function contentOf({ content, index, label }: Example): HTMLElement {
  switch (content?.kind) {
    case 'picture':
      return pictureOf(content, strings.pictureLabel(formatCount(index), label));
    case 'text': {
      const { text, length } = content;
      const more = length > text.length ? ` ${strings.moreText(formatCount(length))}` : '';
      return h(
        'p',
        {
          class: 'text',
          tabindex: 0,
          role: 'group',
          'aria-label': strings.point(formatCount(index)),
        },
        `${text}${more}`,
      );
    }
    case 'numbers': {
      const { values, count } = content;
      const more = count > values.length ? ` ${strings.moreNumbers(formatCount(count))}` : '';
      return h('p', { class: 'numbers-text' }, `${values.map(formatDistance).join(', ')}${more}`);
    }
    case undefined:
      return h('p', { class: 'muted' }, strings.noContent);
  }
}

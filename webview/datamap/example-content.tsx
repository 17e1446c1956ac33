import type { VNode } from 'preact';
import { formatCount, formatDistance, formatDistanceShort } from '../format';
import { listed } from '../translate';
import { Picture } from './picture';
import { strings } from './strings';
import type { Content, Example } from './types';

export function scoreText({ score, deviation }: Example): string {
  if (score === null) return strings.neverLearned;
  const spread =
    typeof deviation === 'number' ? ` ${strings.deviation(formatDistanceShort(deviation))}` : '';
  return `${formatDistance(score)}${spread}`;
}

interface ContentProps {
  readonly example: Pick<Example, 'content' | 'index' | 'label'>;
  /** True while the dataset is being opened. */
  readonly isOpening: boolean;
}

/** A picture, a text, or a row with the names of its columns. */
export function ContentOf({ example: { content, index, label }, isOpening }: ContentProps): VNode {
  const name = formatCount(index);
  switch (content?.kind) {
    case 'picture':
      return <Picture content={content} label={strings.pictureLabel(name, label)} />;
    case 'text': {
      const { text, length, isWhole } = content;
      const more = isWhole ? '' : ` ${strings.moreText(formatCount(length))}`;
      return (
        <p class="text" dir="auto" tabIndex={0} role="group" aria-label={strings.point(name)}>
          {`${text}${more}`}
        </p>
      );
    }
    case 'numbers':
      return <Numbers content={content} name={strings.point(name)} />;
    case undefined:
      return <p class="muted">{isOpening ? strings.openingData : strings.noContent}</p>;
  }
}

interface NumbersProps {
  readonly content: Extract<Content, { kind: 'numbers' }>;
  readonly name: string;
}

function Numbers({ content: { values, columns, count }, name }: NumbersProps): VNode {
  const more = count > values.length ? strings.moreNumbers(formatCount(count)) : '';
  if (columns === undefined) {
    return <p class="numbers-text">{`${listed(values.map(formatDistance))} ${more}`.trimEnd()}</p>;
  }
  return (
    <div class="row-text" tabIndex={0} role="group" aria-label={name}>
      <dl>
        {values.map((value, i) => (
          <div key={i}>
            <dt title={columns[i]}>{columns[i]}</dt>
            <dd>{formatDistance(value)}</dd>
          </div>
        ))}
      </dl>
      {more !== '' && <p class="muted">{more}</p>}
    </div>
  );
}

import type { VNode } from 'preact';
import { formatCount, formatDistance, formatDistanceShort, formatPercent } from '../format';
import { Picture } from './picture';
import { strings } from './strings';
import type { Example } from './types';

interface ExampleCardProps {
  readonly example: Example;
  readonly isMarked: boolean;
  /** Whether this is the example that was looked for. */
  readonly isFound: boolean;
  /** Whether the data set is still being opened. */
  readonly isOpening: boolean;
  readonly onMark: (index: number, marked: boolean) => void;
}

/** One example: what it is, what it is labelled, what the models say, and a button that marks it. */
export function ExampleCard(props: ExampleCardProps): VNode {
  const { example, isMarked, isFound, isOpening, onMark } = props;
  const { index, label, predicted, suspected, labelScore } = example;
  return (
    <li
      class="card"
      data-index={index}
      data-suspected={suspected ? '' : undefined}
      data-marked={isMarked ? '' : undefined}
      data-found={isFound ? '' : undefined}
      aria-current={isFound ? 'true' : undefined}
      tabIndex={-1}
    >
      <div class="content">
        <ContentOf example={example} isOpening={isOpening} />
      </div>
      <div class="card-head">
        <strong>{strings.point(formatCount(index))}</strong>
        {suspected && <span class="badge">{strings.suspectedBadge}</span>}
      </div>
      <dl class="card-facts">
        <CardFact name={strings.given} className="class-name" value={label} title={label} />
        {predicted !== label && (
          <CardFact
            name={suspected ? strings.suggested : strings.predicted}
            className={suspected ? 'class-name differs' : 'class-name'}
            value={predicted}
            title={predicted}
          />
        )}
        <CardFact name={strings.score} value={scoreText(example)} />
        <CardFact
          name={strings.labelScore}
          value={labelScore === undefined ? undefined : formatPercent(labelScore)}
          title={strings.labelScoreTitle}
        />
      </dl>
      <button
        type="button"
        class="mark-button"
        title={strings.markTitle}
        aria-label={strings.markLabel(strings.exampleName(formatCount(index), label))}
        aria-pressed={isMarked}
        onClick={() => {
          onMark(index, !isMarked);
        }}
      >
        {isMarked ? strings.marked : strings.mark}
      </button>
    </li>
  );
}

interface CardFactProps {
  readonly name: string;
  /** Nothing is shown where it is not known. */
  readonly value: string | undefined;
  /** Names may be long: what is cut off is in the tooltip. */
  readonly title?: string | undefined;
  readonly className?: string;
}

function CardFact({ name, value, title, className }: CardFactProps): VNode | null {
  if (value === undefined) return null;
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd class={className}>{value}</dd>
    </div>
  );
}

function scoreText({ score, deviation }: Example): string {
  if (score === null) return strings.neverLearned;
  const spread =
    typeof deviation === 'number' ? ` ${strings.deviation(formatDistanceShort(deviation))}` : '';
  return `${formatDistance(score)}${spread}`;
}

function ContentOf({
  example: { content, index, label },
  isOpening,
}: Pick<ExampleCardProps, 'example' | 'isOpening'>): VNode {
  const name = formatCount(index);
  switch (content?.kind) {
    case 'picture':
      return <Picture content={content} label={strings.pictureLabel(name, label)} />;
    case 'text': {
      const { text, length } = content;
      const more = length > text.length ? ` ${strings.moreText(formatCount(length))}` : '';
      return (
        <p class="text" tabIndex={0} role="group" aria-label={strings.point(name)}>
          {`${text}${more}`}
        </p>
      );
    }
    case 'numbers': {
      const { values, count } = content;
      const more = count > values.length ? ` ${strings.moreNumbers(formatCount(count))}` : '';
      return <p class="numbers-text">{`${values.map(formatDistance).join(', ')}${more}`}</p>;
    }
    case undefined:
      return <p class="muted">{isOpening ? strings.openingData : strings.noContent}</p>;
  }
}

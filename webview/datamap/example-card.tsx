import type { VNode } from 'preact';
import { formatCount, formatPercent } from '../format';
import { ContentOf, scoreText } from './example-content';
import { LabelChoice } from './label-choice';
import { strings } from './strings';
import type { Example, Overview } from './types';

interface ExampleCardProps {
  readonly example: Example;
  readonly isMarked: boolean;
  /** True if this is the example that the user searched for. */
  readonly isFound: boolean;
  /** True while the dataset is being opened. */
  readonly isOpening: boolean;
  /** Class assigned by the user, if it differs. */
  readonly newLabel: string | undefined;
  readonly classes: Overview['classes'];
  readonly onMark: (index: number, marked: boolean) => void;
  readonly onRelabel: (index: number, label: string | undefined) => void;
  readonly onDetails: (index: number) => void;
}

/** One example: what it is, what it is labelled, what the models say, and a button that marks it. */
export function ExampleCard(props: ExampleCardProps): VNode {
  const { example, isMarked, isFound, isOpening, newLabel, classes } = props;
  const { onMark, onRelabel, onDetails } = props;
  const { index, label, predicted, suspected, labelScore } = example;
  return (
    <li
      class="card"
      data-index={index}
      data-suspected={suspected ? '' : undefined}
      data-marked={isMarked ? '' : undefined}
      data-relabeled={newLabel === undefined ? undefined : ''}
      data-found={isFound ? '' : undefined}
      aria-current={isFound ? 'true' : undefined}
      tabIndex={-1}
    >
      <div class="content">
        <ContentOf example={example} isOpening={isOpening} />
      </div>
      <div class="card-head">
        <strong>{strings.point(formatCount(index))}</strong>
        <Badges example={example} />
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
      {label !== undefined && classes.length > 1 && (
        <LabelChoice
          name={strings.exampleName(formatCount(index), label)}
          label={label}
          suggested={suspected ? predicted : undefined}
          chosen={newLabel}
          classes={classes}
          onChoose={(chosen) => {
            onRelabel(index, chosen);
          }}
        />
      )}
      <div class="card-buttons">
        <button
          type="button"
          class="mark-button details-button"
          aria-label={strings.detailsOf(strings.exampleName(formatCount(index), label))}
          onClick={() => {
            onDetails(index);
          }}
        >
          {strings.details}
        </button>
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
      </div>
    </li>
  );
}

interface CardFactProps {
  readonly name: string;
  /** Nothing is shown if it is unknown. */
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

/** Possible issues of an example, as short labels. */
export function Badges({ example }: { readonly example: Example }): VNode {
  const { suspected, group, isOutlier, index } = example;
  const alike =
    group === undefined
      ? undefined
      : group.first === index
        ? strings.groupBadge(formatCount(group.size))
        : (group.isCopy ? strings.copyBadge : strings.nearBadge)(formatCount(group.first));
  const badges = [
    ...(suspected ? [strings.suspectedBadge] : []),
    ...(alike === undefined ? [] : [alike]),
    ...(isOutlier ? [strings.outlierBadge] : []),
  ];
  return (
    <>
      {badges.map((badge) => (
        <span key={badge} class="badge">
          {badge}
        </span>
      ))}
    </>
  );
}

import type { VNode } from 'preact';
import { Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatShare } from '../format';
import { strings } from './strings';
import type { Overview } from './types';

/** Classes that are listed: each is a stop of the keyboard before the examples. */
const mostClasses = 15;

interface LabelIssuesProps {
  readonly overview: Overview;
  /** Shows suspected labels of a class, or of those the ones that are predicted as another. */
  readonly onShow: (label: number, predicted?: number) => void;
}

/** Classes with suspected labels, and the classes they are confused with; each filters the examples. */
export function LabelIssues({ overview, onShow }: LabelIssuesProps): VNode | null {
  const { classes, issues } = overview;
  if (issues.suspected === undefined || classes.length === 0) return null;
  const rows = classes
    .map((one, label) => ({ ...one, label, suspected: one.suspected ?? 0 }))
    .filter(({ suspected }) => suspected > 0)
    .sort((a, b) => b.suspected - a.suspected);
  if (rows.length === 0) return null;
  const shown = rows.slice(0, mostClasses);
  return (
    <Section
      id="label-issues-title"
      title={strings.labelIssues}
      note={
        shown.length < rows.length
          ? strings.mostSuspected(formatCount(shown.length), formatCount(rows.length))
          : undefined
      }
    >
      <ScrollingTable
        caption={strings.labelIssues}
        columns={[
          { title: strings.className },
          { title: strings.examples, isNumber: true },
          { title: strings.suspectedColumn, isNumber: true },
          { title: strings.confused },
        ]}
        rows={shown.map(({ name, label, examples, suspected, confused }) => {
          const other = confused && classes[confused.label]?.name;
          return [
            <Link
              text={name}
              title={strings.showSuspects(name)}
              onClick={() => {
                onShow(label);
              }}
            />,
            formatCount(examples),
            `${formatCount(suspected)} (${formatShare(suspected / Math.max(1, examples))})`,
            confused === undefined || other === undefined ? (
              strings.none
            ) : (
              <Link
                text={strings.confusedValue(other, formatCount(confused.examples))}
                title={strings.showConfused(name, other)}
                onClick={() => {
                  onShow(label, confused.label);
                }}
              />
            ),
          ];
        })}
      />
    </Section>
  );
}

interface LinkProps {
  readonly text: string;
  readonly title: string;
  readonly onClick: () => void;
}

function Link({ text, title, onClick }: LinkProps): VNode {
  return (
    <button type="button" class="link class-name" title={title} onClick={onClick}>
      {text}
    </button>
  );
}

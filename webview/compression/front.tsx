import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type {
  BudgetSurvey,
  MadePlan,
  PredictedPlan,
  ScoredFront,
} from '../../extension/protocol/compression';
import { byteStep } from '../charts/byte-step';
import type { ChartContent, ChartPoint } from '../charts/curve-chart';
import { CurvePlot } from '../components/charts';
import { Button } from '../components/controls';
import { Legend } from '../components/legend';
import { Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatDistance, formatPercent, formatShare } from '../format';
import { choiceAt, formatAmount, withLimit } from './budget';
import type { CompressionPanel } from './compression-panel';
import { reasonAgainst } from './frame';
import type { PlannedFrame } from './frame';
import { strings } from './strings';
import type { AskedBudget } from './use-budget';

interface FrontProps {
  readonly panel: CompressionPanel;
  readonly frame: PlannedFrame;
  readonly asked: AskedBudget;
}

/** Size against distance: plans of all sizes that no other plan beats. */
export function Front({ panel, frame, asked }: FrontProps): VNode {
  const { survey } = asked;
  return (
    <Section class="front" id="front-title" title={strings.front}>
      {survey?.ok === undefined || survey.ok.points.length === 0 ? (
        // The form says why.
        <p class="muted">
          {(survey?.ok ?? survey?.error) ? strings.frontNone : strings.noPrediction}
        </p>
      ) : (
        <Points panel={panel} frame={frame} asked={asked} survey={survey.ok} />
      )}
    </Section>
  );
}

function Points(props: FrontProps & { readonly survey: BudgetSurvey }): VNode {
  const { panel, frame, asked, survey } = props;
  const { table } = frame;
  const [made, predicted, measured] = [panel.get('plan'), asked.plan?.ok, panel.get('scores')];
  const { context } = panel.view.value.form;
  const scores = useMemo(() => scoresOf(survey, measured), [survey, measured]);
  const content = useMemo(
    () => contentOf(survey, { made, predicted, scores, table, context }),
    [survey, made, predicted, scores, table, context],
  );
  const reason = useComputed(() => reasonAgainst(panel)).value;
  const use = (index: number): void => {
    const [point, choice] = [survey.points[index], asked.choice];
    if (point === undefined || choice === undefined) return;
    const percent = Math.min(99, Math.ceil(100 * point.share));
    const { form } = panel.view.peek();
    panel.setView({ shown: 'plan', form: withLimit(form, survey.unit, { percent }) });
    panel.run.usePredicted(choiceAt(choice, point.cost));
  };
  const [first, last] = [survey.points[0], survey.points.at(-1)];
  const label =
    first === undefined || last === undefined
      ? strings.front
      : strings.frontLabel(
          formatCount(survey.points.length),
          formatAmount(survey.unit, first.cost),
          formatDistance(first.sumOfDistances),
          formatAmount(survey.unit, last.cost),
          formatDistance(last.sumOfDistances),
        );
  return (
    <>
      <Legend
        items={[
          predictedLook,
          ...(content.series.some(({ label: name }) => name === measuredLook.name)
            ? [measuredLook]
            : []),
          ...(scores === undefined ? [] : [scoreLook(scores)]),
        ]}
      />
      <CurvePlot content={content} label={label} onPick={use} />
      <p class="muted">
        {scores === undefined
          ? strings.frontHint
          : strings.scoresHint(accuracyText(scores.original))}
      </p>
      <div class="actions">
        <Button
          label={strings.scorePlans}
          title={strings.scorePlansTitle}
          reason={asked.choice === undefined ? strings.noPrediction : reason}
          onClick={() => {
            if (asked.choice !== undefined) panel.run.scorePlans(asked.choice);
          }}
        />
      </div>
      <Folded
        title={strings.frontTable}
        draw={() => <Numbers survey={survey} scores={scores} onUse={use} />}
      />
    </>
  );
}

/** Scores of the points that are shown, by their places; undefined where none of them was measured. */
interface Scores {
  readonly original: ScoredFront['original'];
  readonly points: readonly (ScoredFront['points'][number] | undefined)[];
}

function scoresOf(
  { unit, points }: BudgetSurvey,
  measured: ScoredFront | undefined,
): Scores | undefined {
  if (measured?.unit !== unit) return undefined;
  // Where other changes are allowed, a plan of the same size is another one.
  const found = points.map(({ cost, sumOfDistances }) =>
    measured.points.find((one) => one.cost === cost && one.sumOfDistances === sumOfDistances),
  );
  return found.every((one) => one === undefined)
    ? undefined
    : { original: measured.original, points: found };
}

const accuracyText = ({ acc, accError }: Pick<ScoredFront['original'], 'acc' | 'accError'>) =>
  `${(100 * acc).toFixed(1)} ± ${(100 * accError).toFixed(1)}\u00a0%`;

interface Drawn {
  readonly made: MadePlan | undefined;
  readonly predicted: PredictedPlan | undefined;
  readonly scores: Scores | undefined;
  readonly table: PlannedFrame['table'];
  readonly context: number;
}

function contentOf(
  { unit, points }: BudgetSurvey,
  { made, predicted, scores, table, context }: Drawn,
): ChartContent {
  const at = predicted?.limits.find((limit) => limit.unit === unit);
  const measured = measuredPoint(unit, made, table);
  return {
    series: [
      {
        ...seriesOf(predictedLook),
        emphasised: true,
        points: points.map(({ cost, sumOfDistances }, index) => ({
          ...{ x: cost, y: sumOfDistances, index },
        })),
      },
      ...(measured === undefined
        ? []
        : [{ ...seriesOf(measuredLook), emphasised: false, points: [measured] }]),
      ...(scores === undefined
        ? []
        : [
            {
              ...seriesOf(scoreLook(scores)),
              ...({ axis: 'y2', emphasised: false } as const),
              points: scores.points.flatMap((score, index) =>
                score === undefined ? [] : [{ x: score.cost, y: score.acc, index }],
              ),
            },
          ]),
    ],
    titles: {
      x: strings.unitName(unit, formatCount(context)),
      y: strings.frontDistance(table.metric),
      y2: scores === undefined ? '' : strings.frontScore(scores.original.task),
    },
    logarithmic: true,
    selection:
      at === undefined || predicted === undefined
        ? undefined
        : { x: at.cost, y: predicted.sumOfDistances },
    stepX: unit === 'bytes' || unit === 'memory' ? byteStep(points[0]?.cost ?? 0) : undefined,
    // One unit for the axis, that of its largest number.
    formatX: (value) => formatAmount(unit, value, points[0]?.cost),
    formatY: formatDistance,
    formatY2: formatShare,
    pointTitle: ({ x }) => formatAmount(unit, x),
  };
}

const predictedLook = { name: strings.frontPredicted, color: 'blue', mark: 'circle' } as const;
const measuredLook = { name: strings.frontMeasured, color: 'green', mark: 'triangle' } as const;

const scoreLook = ({ original: { task } }: Scores) =>
  ({ name: strings.frontScore(task), color: 'purple', mark: 'rectRot' }) as const;

const seriesOf = ({
  name,
  color,
  mark,
}: typeof predictedLook | typeof measuredLook | ReturnType<typeof scoreLook>) =>
  ({ label: name, color, marker: mark, dash: [], axis: 'y' }) as const;

/** Where a plan that was measured stands. */
function measuredPoint(
  unit: BudgetSurvey['unit'],
  made: MadePlan | undefined,
  { original }: PlannedFrame['table'],
): ChartPoint | undefined {
  const distance = made?.result.distance;
  const kept = made?.result.limits.find((limit) => limit.unit === unit);
  return distance === undefined || kept === undefined
    ? undefined
    : { x: kept.cost, y: distance - original, index: -1 };
}

const columns = [
  { title: strings.cost, isNumber: true },
  { title: strings.frontSize, isNumber: true },
  { title: strings.predicted, isNumber: true },
  { title: strings.removed, isNumber: true },
  { title: strings.narrowed, isNumber: true },
  { title: strings.changed, isNumber: true },
  { title: strings.plan },
];

interface NumbersProps {
  readonly survey: BudgetSurvey;
  readonly scores: Scores | undefined;
  readonly onUse: (index: number) => void;
}

/** The chart's points as a table, each with its button. */
function Numbers({ survey: { unit, points }, scores, onUse }: NumbersProps): VNode {
  return (
    <ScrollingTable
      caption={strings.frontTable}
      columns={
        scores === undefined
          ? columns
          : columns.toSpliced(3, 0, {
              title: strings.frontScore(scores.original.task),
              isNumber: true,
            })
      }
      rows={points.map(({ cost, share, sumOfDistances, removed, narrowed, compressed }, index) => [
        formatPercent(share),
        formatAmount(unit, cost),
        formatDistance(sumOfDistances),
        ...(scores === undefined ? [] : [scoreText(scores.points[index])]),
        ...[removed, narrowed, compressed].map(formatCount),
        <Button
          key={index}
          label={strings.usePoint}
          title={strings.usePlanTitle}
          onClick={() => {
            onUse(index);
          }}
        />,
      ])}
    />
  );
}

const scoreText = (score: Scores['points'][number]): string =>
  score === undefined ? strings.none : accuracyText(score);

import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type {
  BudgetSurvey,
  MadePlan,
  PredictedPlan,
  ScoredFront,
} from '../../extension/protocol/compression';
import type { OfferedType } from '../../extension/protocol/frontier';
import { byteStep } from '../charts/byte-step';
import type { ChartSeries } from '../charts/curve-chart';
import { Button } from '../components/controls';
import { Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatDistance, formatShare } from '../format';
import { Frontier } from '../frontier/frontier';
import type { TargetRule } from '../frontier/frontier';
import { prunedPoints, typePoints } from '../frontier/frontier-points';
import type { FrontierPoint } from '../frontier/frontier-points';
import { strings as frontier } from '../frontier/strings';
import { listed, named } from '../translate';
import { choiceAt, formatAmount, leastPercent, withLimit } from './budget';
import type { BudgetForm } from './budget';
import type { CompressionPanel } from './compression-panel';
import { reasonAgainst } from './frame';
import type { PlannedFrame } from './frame';
import { settingPoints } from './setting-points';
import { strings } from './strings';
import type { AskedBudget } from './use-budget';

interface FrontProps {
  readonly panel: CompressionPanel;
  readonly frame: PlannedFrame;
  readonly asked: AskedBudget;
}

/** Distance against size: plans of all sizes that no other plan beats, types and pruned models. */
export function Front({ panel, frame, asked }: FrontProps): VNode {
  const { survey } = asked;
  const target = survey?.ok && budgetTarget(survey.ok, panel.view.value.form);
  return (
    <Section
      class="front"
      id="front-title"
      title={frontier.title}
      note={target && named(strings.target, target.text)}
    >
      {survey?.ok === undefined || survey.ok.points.length === 0 ? (
        // The form shows the reason.
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
  const [made, measured, types, pruned] = [
    panel.get('plan'),
    panel.get('scores'),
    panel.get('types'),
    panel.get('pruned'),
  ];
  const { form } = panel.view.value;
  const { unit } = survey;
  const scores = useMemo(() => matchScores(survey, measured), [survey, measured]);
  const others = useMemo(() => (scores === undefined ? [] : [scoreSeries(scores)]), [scores]);
  const points = useMemo(
    () => [
      ...survey.points.map(planPoint),
      ...madePoints(unit, made, table),
      ...(unit === 'bytes'
        ? [...uniformPoints(table, types), ...prunedPoints(pruned, table.original)]
        : []),
    ],
    [survey, made, table, types, pruned],
  );
  const titles = useMemo(
    () => ({
      x: strings.unitName(unit, formatCount(form.context)),
      y: frontier.distance(table.metric),
      y2: scores === undefined ? '' : strings.frontScore(scores.original.task),
    }),
    [unit, form.context, table, scores],
  );
  const reason = useComputed(() => reasonAgainst(panel)).value;
  const use = (index: number): void => {
    const [point, choice] = [survey.points[index], asked.choice];
    if (point === undefined || choice === undefined) return;
    const percent = Math.min(99, Math.ceil(100 * point.share));
    panel.setView({
      shown: 'plan',
      form: withLimit(panel.view.peek().form, survey.unit, { percent }),
    });
    panel.run.usePredicted(choiceAt(choice, point.cost));
  };
  const before = survey.reach.find((one) => one.unit === unit)?.before ?? 0;
  const format = (size: number) => formatAmount(unit, size, before);
  return (
    <>
      <Frontier
        points={points}
        others={others}
        titles={titles}
        ring={predictedPoint(unit, asked.plan?.ok)}
        rule={targetRule(panel, survey)}
        original={before}
        step={unit === 'bytes' || unit === 'memory' ? byteStep(before) : undefined}
        format={format}
        formatOther={formatShare}
        {...(scores === undefined
          ? {}
          : { hint: strings.scoresHint(accuracyText(scores.original)) })}
      />
      <Folded
        title={strings.frontTable}
        draw={() => (
          <>
            <Numbers survey={survey} scores={scores} onUse={use} />
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
          </>
        )}
      />
    </>
  );
}

/** Models of one setting or named type. A type that was measured layer by layer is not predicted by other models, too. */
function uniformPoints(
  table: PlannedFrame['table'],
  types: readonly OfferedType[],
): FrontierPoint[] {
  const settings = settingPoints(table);
  const named = typePoints(types, table.metric, table.original);
  const isKnown = ({ name, isMeasured }: FrontierPoint): boolean =>
    isMeasured || settings.every((setting) => setting.name !== name);
  return [...settings, ...named.filter(isKnown)];
}

interface Target {
  /** Size of the original. */
  readonly before: number;
  /** Smallest percentage that plans reach. */
  readonly least: number;
  readonly percent: number;
  readonly size: number;
  readonly text: string;
}

/** Size that the form asks for, in the unit of the chart. */
function budgetTarget({ unit, reach }: BudgetSurvey, form: BudgetForm): Target {
  const before = reach.find((one) => one.unit === unit)?.before ?? 0;
  const least = Math.min(99, leastPercent(unit, reach));
  const percent = Math.max(least, Math.min(99, form.limits[unit].percent));
  const size = (percent / 100) * before;
  const text = strings.shareOf(formatShare(percent / 100), formatAmount(unit, size, before));
  return { before, least, percent, size, text };
}

/** The target as a line that moves by 1 % each. */
function targetRule(panel: CompressionPanel, survey: BudgetSurvey): TargetRule {
  const { before, least, percent, size, text } = budgetTarget(survey, panel.view.value.form);
  return {
    label: strings.target,
    stops: Array.from({ length: 100 - least }, (_, i) => ((least + i) / 100) * before),
    stop: percent - least,
    ...{ size, text },
    onMove: (stop) => {
      const change = { percent: least + stop };
      panel.setView({ form: withLimit(panel.view.peek().form, survey.unit, change) });
    },
  };
}

const planPoint = ({
  share,
  cost,
  sumOfDistances,
  compressed,
  removed,
}: BudgetSurvey['points'][number]): FrontierPoint => ({
  ...{ kind: 'plan', name: formatShare(share), size: cost, loss: sumOfDistances },
  isMeasured: false,
  note: listed([
    named(strings.changed, formatCount(compressed)),
    ...(removed === 0 ? [] : [named(strings.removed, formatCount(removed))]),
  ]),
});

function predictedPoint(
  unit: BudgetSurvey['unit'],
  predicted: PredictedPlan | undefined,
): { readonly size: number; readonly loss: number } | undefined {
  const at = predicted?.limits.find((limit) => limit.unit === unit);
  return at === undefined || predicted === undefined
    ? undefined
    : { size: at.cost, loss: predicted.sumOfDistances };
}

/** Scores of the shown points, by index; undefined if none of them was measured. */
interface Scores {
  readonly original: ScoredFront['original'];
  readonly points: readonly (ScoredFront['points'][number] | undefined)[];
}

function matchScores(
  { unit, points }: BudgetSurvey,
  measured: ScoredFront | undefined,
): Scores | undefined {
  if (measured?.unit !== unit) return undefined;
  // With other allowed changes, a plan of the same size is a different one.
  const found = points.map(({ cost, sumOfDistances }) =>
    measured.points.find((one) => one.cost === cost && one.sumOfDistances === sumOfDistances),
  );
  return found.every((one) => one === undefined)
    ? undefined
    : { original: measured.original, points: found };
}

const accuracyText = ({ acc, accError }: Pick<ScoredFront['original'], 'acc' | 'accError'>) =>
  `${(100 * acc).toFixed(1)} ± ${(100 * accError).toFixed(1)}\u00a0%`;

const scoreSeries = (scores: Scores): ChartSeries => ({
  ...{ label: strings.frontScore(scores.original.task), color: 'green', marker: 'crossRot' },
  ...{ dash: [], axis: 'y2', emphasised: false },
  points: scores.points.flatMap((score, index) =>
    score === undefined ? [] : [{ x: score.cost, y: score.acc, index }],
  ),
});

/** The plan, if it was measured. */
function madePoints(
  unit: BudgetSurvey['unit'],
  made: MadePlan | undefined,
  { original }: PlannedFrame['table'],
): FrontierPoint[] {
  const distance = made?.result.distance;
  const planned = made?.result.limits.find((limit) => limit.unit === unit);
  return distance === undefined || planned === undefined
    ? []
    : [
        {
          ...{ kind: 'made', name: formatShare(planned.cost / planned.before), size: planned.cost },
          ...{ loss: distance - original, isMeasured: true, note: '' },
        },
      ];
}

const columns = [
  { title: strings.cost, isNumber: true },
  { title: strings.frontSize, isNumber: true },
  { title: strings.predicted, isNumber: true },
  { title: strings.removed, isNumber: true },
  { title: strings.widthPruned, isNumber: true },
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
      rows={points.map(
        ({ cost, share, sumOfDistances, removed, widthPruned, compressed }, index) => [
          formatShare(share),
          formatAmount(unit, cost),
          formatDistance(sumOfDistances),
          ...(scores === undefined ? [] : [scoreText(scores.points[index])]),
          ...[removed, widthPruned, compressed].map(formatCount),
          <Button
            key={index}
            label={strings.usePoint}
            title={strings.usePlanTitle}
            onClick={() => {
              onUse(index);
            }}
          />,
        ],
      )}
    />
  );
}

const scoreText = (score: Scores['points'][number]): string =>
  score === undefined ? strings.none : accuracyText(score);

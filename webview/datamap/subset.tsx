import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { issueKinds, policies } from '../../extension/protocol/datamap';
import { Checkbox, Dropdown } from '../components/controls';
import { Section } from '../components/section';
import { Slider } from '../components/slider';
import { ScrollingTable } from '../components/table';
import { formatCount, formatDistance, formatShare } from '../format';
import { useAnswer } from '../kit/use-answer';
import { strings } from './strings';
import type { ChoiceCounts, DataMapPanel, Overview } from './types';
import { mostOffset, chosenSubset } from './view-state';
import type { SubsetForm } from './view-state';

interface SubsetProps {
  readonly panel: DataMapPanel;
  readonly overview: Overview;
}

/** Selection of the subset: policy, share, balance, and the result for each class. */
export function Subset({ panel, overview }: SubsetProps): VNode {
  const form = panel.view.value.subset;
  const { classes } = overview;
  const marks = panel.get('marks');
  const leftOut = form.leaveOutMarked ? marks : undefined;
  const { similarity } = panel.view.value;
  const asked = useMemo(
    () => chosenSubset(form, similarity),
    [form, similarity, overview, leftOut],
  );
  const { ok: counts, error } = useAnswer(panel.call.choose, asked) ?? {};
  const set = (change: Partial<SubsetForm>) => {
    panel.setView({ subset: { ...panel.view.peek().subset, ...change } });
  };
  const { keep, policy } = form;
  return (
    <Section id="subset-title" title={strings.subset}>
      <div class="choices">
        <Dropdown
          label={strings.policy}
          options={policies.map((value) => ({ value, label: strings.policyName[value] }))}
          value={policy}
          onChange={(value) => {
            set({ policy: value });
          }}
        />
        {classes.length > 0 && (
          <Checkbox
            label={strings.balanced}
            checked={form.balanced}
            onChange={(balanced) => {
              set({ balanced });
            }}
          />
        )}
        <Checkbox
          label={strings.leaveOut}
          checked={form.leaveOutMarked}
          onChange={(leaveOutMarked) => {
            set({ leaveOutMarked });
          }}
        />
        {issueKinds.map((kind) => {
          const found = overview.issues[kind];
          return (
            found !== undefined && (
              <Checkbox
                key={kind}
                label={strings.leaveOutIssue[kind](formatCount(found))}
                checked={form.without.includes(kind)}
                onChange={(isOut) => {
                  const others = form.without.filter((one) => one !== kind);
                  set({ without: isOut ? [...others, kind] : others });
                }}
              />
            )
          );
        })}
      </div>
      <PercentSlider
        id="keep"
        label={strings.keep}
        value={keep}
        least={1}
        most={100}
        onInput={(value) => {
          set({ keep: value });
        }}
      />
      {policy === 'window' && (
        <PercentSlider
          id="offset"
          label={strings.offset}
          value={asked.request.offset ?? form.offset}
          least={0}
          most={Math.round(100 * mostOffset(form))}
          onInput={(value) => {
            set({ offset: value });
          }}
        />
      )}
      <p class="total" role="status" data-failed={error === undefined ? undefined : ''}>
        {error ?? (counts && countedText(counts))}
      </p>
      <p class="muted warn">{strings.warning[policy]}</p>
      {classes.length === 0 ? (
        <p class="muted">{strings.noClasses}</p>
      ) : (
        counts && <ClassTable classes={classes} chosen={counts.classes} />
      )}
    </Section>
  );
}

interface PercentSliderProps {
  readonly id: string;
  readonly label: string;
  /** A share; the ends are percents. */
  readonly value: number;
  readonly least: number;
  readonly most: number;
  readonly onInput: (share: number) => void;
}

function PercentSlider({ value, onInput, ...props }: PercentSliderProps): VNode {
  const percent = Math.round(100 * value);
  return (
    <Slider
      {...props}
      value={percent}
      text={formatShare(percent / 100)}
      onInput={(next) => {
        onInput(next / 100);
      }}
    />
  );
}

function countedText({ kept, examples }: ChoiceCounts): string {
  const share = formatShare(kept / Math.max(1, examples));
  return strings.counted(formatCount(kept), formatCount(examples), share);
}

interface ClassTableProps {
  readonly classes: Overview['classes'];
  readonly chosen: ChoiceCounts['classes'];
}

function ClassTable({ classes, chosen }: ClassTableProps): VNode {
  const total = classes.reduce((sum, { examples }) => sum + examples, 0);
  const hasSuspects = classes.some(({ suspected }) => suspected !== undefined);
  const share = (part: number, whole: number) =>
    whole === 0 ? strings.none : `${formatCount(part)} (${formatShare(part / whole)})`;
  return (
    <ScrollingTable
      caption={strings.classTable}
      columns={[
        { title: strings.className },
        { title: strings.examples, isNumber: true },
        { title: strings.keptColumn, isNumber: true },
        ...(hasSuspects ? [{ title: strings.suspectedColumn, isNumber: true }] : []),
        { title: strings.meanScore, isNumber: true },
      ]}
      rows={classes.map(({ name, examples, suspected = 0, meanScore }, i) => [
        <span class="class-name" title={name}>
          {name}
        </span>,
        share(examples, total),
        share(chosen[i]?.kept ?? 0, examples),
        ...(hasSuspects ? [share(suspected, examples)] : []),
        meanScore === undefined ? strings.none : formatDistance(meanScore),
      ])}
    />
  );
}

import type { ChosenSubset } from '../../extension/protocol/datamap';
import { createCheckbox, createDropdown } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatCount, formatDistance, formatPercent } from '../format';
import { createPercentSlider } from '../percent-slider';
import { scrollingTable, section } from '../simple-table';
import { strings } from './strings';
import type { ChoiceCounts, ClassCounts, Overview } from './types';
import type { SubsetForm } from './view-state';
import { formOf, policies, subsetOf } from './view-state';

export interface SubsetSection {
  readonly element: HTMLElement;
  show(overview: Overview): void;
  setCounts(counts: ChoiceCounts): void;
  fail(message: string): void;
}

const warnings = {
  max: strings.warnMax,
  window: strings.warnWindow,
  random: strings.warnRandom,
} as const;

/** What is to be kept: policy, share, balance, and what comes of it for each class. */
export function createSubsetSection(
  initial: ChosenSubset,
  changed: (subset: ChosenSubset) => void,
): SubsetSection {
  let form = formOf(initial);
  let classes: readonly ClassCounts[] = [];
  const keep = createPercentSlider('keep', strings.keep, (percent) => {
    set({ keep: percent / 100 });
  });
  const offset = createPercentSlider('offset', strings.offset, (percent) => {
    set({ offset: percent / 100 });
  });
  const policy = createDropdown(
    strings.policy,
    policies.map((value) => ({ value, label: strings.policyName[value] })),
    form.policy,
    (value) => {
      set({ policy: value });
    },
  );
  const balanced = createCheckbox(strings.balanced, form.balanced, (checked) => {
    set({ balanced: checked });
  });
  const leaveOut = createCheckbox(strings.leaveOut, form.leaveOutMarked, (checked) => {
    set({ leaveOutMarked: checked });
  });
  const counted = h('p', { class: 'total', role: 'status' });
  const warning = h('p', { class: 'muted warn' });
  const unbalanced = h('p', { class: 'muted', hidden: true }, strings.noClasses);
  const table = h('div');

  const set = (change: Partial<SubsetForm>) => {
    form = { ...form, ...change };
    draw();
    changed(subsetOf(form));
  };
  const draw = () => {
    const { request } = subsetOf(form);
    keep.set(Math.round(form.keep * 100), 1, 100);
    offset.element.hidden = form.policy !== 'window';
    offset.set(
      Math.round(100 * (request.offset ?? form.offset)),
      0,
      Math.round(100 - 100 * form.keep),
    );
    setText(warning, warnings[form.policy]);
  };
  draw();

  return {
    element: section(
      'subset-title',
      strings.subset,
      h('div', { class: 'choices' }, policy.element, balanced, leaveOut),
      keep.element,
      offset.element,
      counted,
      warning,
      unbalanced,
      table,
    ),
    show: (overview) => {
      ({ classes } = overview);
      balanced.hidden = classes.length === 0;
      unbalanced.hidden = classes.length > 0;
      setChildren(table, []);
    },
    setCounts: (counts) => {
      const { kept, examples } = counts;
      setText(
        counted,
        strings.counted(
          formatCount(kept),
          formatCount(examples),
          formatPercent(kept / Math.max(1, examples)),
        ),
      );
      counted.removeAttribute('data-failed');
      setChildren(table, classes.length === 0 ? [] : [classTable(classes, counts.classes)]);
    },
    fail: (message) => {
      setText(counted, message);
      setAttribute(counted, 'data-failed', true);
    },
  };
}

function classTable(classes: readonly ClassCounts[], kept: ChoiceCounts['classes']): HTMLElement {
  const total = classes.reduce((sum, { examples }) => sum + examples, 0);
  const hasSuspects = classes.some(({ suspected }) => suspected !== undefined);
  const share = (part: number, whole: number) =>
    whole === 0 ? '–' : `${formatCount(part)} (${formatPercent(part / whole)})`;
  return scrollingTable(
    strings.classTable,
    [
      { title: strings.className },
      { title: strings.examples, isNumber: true },
      { title: strings.keptColumn, isNumber: true },
      ...(hasSuspects ? [{ title: strings.suspectedColumn, isNumber: true }] : []),
      { title: strings.meanScore, isNumber: true },
    ],
    classes.map(({ name, examples, suspected = 0, meanScore }, i) => [
      h('span', { class: 'class-name', title: name }, name),
      share(examples, total),
      share(kept[i]?.kept ?? 0, examples),
      ...(hasSuspects ? [share(suspected, examples)] : []),
      meanScore === undefined ? '–' : formatDistance(meanScore),
    ]),
  );
}

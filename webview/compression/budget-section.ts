import { createButton, createCheckbox, createDropdown } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { formatBytes, formatCompact, formatCount, formatDistance, formatPercent } from '../format';
import { createPercentSlider } from '../percent-slider';
import { createTile } from '../tile';
import type { BudgetForm } from './budget';
import { choiceOf, countOf, countsOf, leastPercent, unitsOf } from './budget';
import { wayKey } from './cells';
import { reasonAgainst } from './panel-part';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { strings } from './strings';
import type { BudgetUnit } from './types';

/** What a plan is made for, and what came of it. */
export function createBudgetSection({ send, setView }: PanelActions): PanelPart {
  let frame: Frame | undefined;
  const change = (part: Partial<BudgetForm>) => {
    if (frame !== undefined) setView({ form: { ...frame.view.form, ...part } });
  };
  const left = createPercentSlider('left', strings.left, (percent) => {
    change({ percent });
  });
  const least = h('p', { class: 'muted' });
  const noRemovals = h('p', { class: 'muted' }, strings.noRemovals);
  const covers = h('p', { class: 'muted' });
  const unit = h('div', { class: 'choices' });
  const allowed = h('div', { class: 'choices', role: 'group', 'aria-label': strings.allowed });
  const plan = createButton(strings.makePlan, true, () => {
    const table = frame?.state.table;
    if (frame === undefined || table === undefined) return;
    setView({ shown: 'plan' });
    send({ type: 'plan', choice: choiceOf(table, frame.ways, frame.view.form) });
  });
  const made = createMadePlan(send);
  let drawn = '';
  /** Controls that depend on the table are made anew when it says something else. */
  const drawControls = ({ ways, view: { form }, state }: Frame) => {
    const units = state.table === undefined ? [] : unitsOf(state.table);
    const outer = state.table?.outer ?? [];
    const next = JSON.stringify([units, ways, state.removable, outer.length]);
    if (next === drawn) return;
    drawn = next;
    const dropdown = createDropdown(
      strings.unit,
      units.map((value) => ({ value, label: strings.units[value] })),
      form.unit,
      (value) => {
        change({ unit: value });
      },
    );
    setChildren(unit, [h('span', { 'aria-hidden': 'true' }, strings.unit), dropdown.element]);
    const boxes = ways.map((way) => {
      const key = wayKey(way);
      return createCheckbox(strings.way(way), !form.without.includes(key), (checked) => {
        const rest = (frame?.view.form.without ?? []).filter((one) => one !== key);
        change({ without: checked ? rest : [...rest, key] });
      });
    });
    const removes = createCheckbox(
      strings.removes(formatCount(state.removable)),
      form.removes,
      (checked) => {
        change({ removes: checked });
      },
    );
    const outside = createCheckbox(strings.outerToo, form.outer, (checked) => {
      change({ outer: checked });
    });
    setChildren(allowed, [
      ...boxes,
      ...(outer.length === 0 ? [] : [outside]),
      ...(state.removable === 0 ? [] : [removes]),
    ]);
    noRemovals.hidden = state.removable > 0;
  };
  const element = h(
    'section',
    { class: 'budget', 'aria-labelledby': 'budget-title' },
    h('h2', { id: 'budget-title' }, strings.budget),
    unit,
    left.element,
    covers,
    least,
    allowed,
    noRemovals,
    h('div', { class: 'actions' }, plan.element),
    made.element,
  );
  return {
    element,
    update: (next) => {
      frame = next;
      const { state, view, ways } = next;
      const { table } = state;
      element.hidden = table === undefined;
      if (table === undefined) return;
      drawControls(next);
      const reach = leastPercent(table, formOf(next));
      const choice = choiceOf(table, ways, formOf(next));
      left.set(Math.round(100 * choice.budget.ratio), Math.min(99, reach), 99);
      setText(least, strings.least(formatPercent(reach / 100)));
      least.hidden = view.form.removes || reach >= 100;
      setText(covers, strings.covers(choice.budget.unit, choice.outer));
      plan.setPrimary(state.plan === undefined);
      plan.setState(
        reasonAgainst(state, strings.reasonRunning) ??
          (choice.ways.length === 0
            ? strings.reasonNoWay
            : reach >= 100
              ? strings.reasonUnreachable
              : undefined),
        strings.makePlanTitle,
      );
      made.update(next);
    },
  };
}

/** The form without what the table or the profile no longer has. */
function formOf({ view: { form }, state }: Frame): BudgetForm {
  return { ...form, removes: form.removes && state.removable > 0 };
}

function createMadePlan(send: PanelActions['send']): PanelPart {
  const title = h('h3');
  const tiles = {
    cost: createTile(strings.cost),
    predicted: createTile(strings.predicted),
    measured: createTile(strings.measured),
    changed: createTile(strings.changed),
    removed: createTile(strings.removed),
  };
  const counts = h('p', { class: 'muted' });
  const save = createButton(strings.savePlan, false, () => {
    send({ type: 'savePlan' });
  });
  const compress = createButton(strings.compressPlan, true, () => {
    send({ type: 'compress' });
  });
  const forget = createButton(strings.forgetPlan, false, () => {
    send({ type: 'forgetPlan' });
  });
  save.setState(undefined, strings.savePlanTitle);
  const element = h(
    'div',
    { class: 'made-plan' },
    title,
    h('dl', { class: 'tiles' }, ...Object.values(tiles).map((tile) => tile.element)),
    counts,
    h('div', { class: 'actions' }, compress.element, save.element, forget.element),
  );
  return {
    element,
    update: ({ state }) => {
      const { plan, table } = state;
      element.hidden = plan === undefined;
      if (plan === undefined || table === undefined) return;
      const { budget, result } = plan;
      const share = formatPercent(budget.ratio);
      setText(title, strings.planOf(share, strings.units[budget.unit]));
      tiles.cost.set(
        formatPercent(result.cost / result.costBefore),
        strings.costNote(
          formatCost(result.cost, budget.unit),
          formatCost(result.costBefore, budget.unit),
        ),
      );
      tiles.predicted.set(formatDistance(result.sumOfDistances), strings.predictedNote);
      tiles.measured.set(
        formatDistance(result.distance - table.original),
        strings.measuredNote(formatCount(result.tried.length)),
      );
      tiles.changed.set(
        formatCount(result.compress.length),
        strings.ofTotal(formatCount(countOf(plan, table))),
      );
      tiles.removed.element.hidden = !plan.removes;
      tiles.removed.set(
        formatCount(result.remove.length),
        strings.ofTotal(formatCount(state.model.sublayers.length)),
      );
      setText(
        counts,
        countsOf(plan)
          .map(({ way, count }) => strings.countOf(formatCount(count), strings.way(way)))
          .join(' · '),
      );
      const against = reasonAgainst(state, strings.reasonRunning);
      compress.setState(against, strings.compressPlanTitle);
      forget.setState(against, strings.forgetPlanTitle);
    },
  };
}

function formatCost(value: number, unit: BudgetUnit): string {
  switch (unit) {
    case 'bytes':
      return formatBytes(value);
    case 'milliseconds':
      return strings.milli(formatDistance(value));
    case 'parameters':
    case 'flops':
      return formatCompact(value);
  }
}

import { h, setChildren } from '../dom';
import { formatDistance } from '../format';
import { section, simpleTable } from '../simple-table';
import type { Frame, PanelPart } from './panel-part';
import { strings } from './strings';

type Findings = Frame['state']['findings'][number];

/** What the paper says of blocks and matrices, beside what this model shows. */
export function createFindingsSection(): PanelPart {
  const body = h('div');
  let drawn: Frame['state']['findings'] | undefined;
  const element = section(
    'findings-title',
    strings.findings,
    h('p', { class: 'muted' }, strings.findingsNote),
    body,
  );
  element.classList.add('findings');
  return {
    element,
    update: ({ state: { findings, table } }) => {
      element.hidden = table === undefined;
      if (findings === drawn) return;
      drawn = findings;
      const content = simpleTable(
        strings.findingsTable,
        [
          { title: strings.findingMethod },
          { title: strings.findingEarly },
          { title: strings.findingDown },
        ],
        findings.map((one) => [strings.method(one.method), earlyCell(one), downCell(one)]),
      );
      const waiting = h('p', { class: 'muted' }, strings.findingsWaiting);
      setChildren(body, [
        findings.length === 0 ? waiting : h('div', { class: 'table-scroll wraps' }, content),
      ]);
    },
  };
}

function earlyCell({ byDepth, earlyIsMostSensitive }: Findings): HTMLElement {
  return verdict(
    byDepth.length < 2 ? undefined : earlyIsMostSensitive,
    byDepth.map(({ group, distance }) => `${strings.depth[group]} ${formatDistance(distance)}`),
  );
}

function downCell({ byRole, downIsMostSensitive }: Findings): HTMLElement {
  const roles = [...byRole].sort((a, b) => b.distance - a.distance);
  return verdict(
    downIsMostSensitive,
    roles.map(
      ({ group, distance }) => `${strings.role[group].toLowerCase()} ${formatDistance(distance)}`,
    ),
  );
}

function verdict(holds: boolean | undefined, groups: readonly string[]): HTMLElement {
  const text = holds === undefined ? strings.unknown : holds ? strings.holds : strings.holdsNot;
  return h('div', {}, h('strong', {}, text), h('div', { class: 'muted' }, strings.groups(groups)));
}

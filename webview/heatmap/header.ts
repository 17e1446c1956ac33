import { h, setChildren, setText } from '../dom';
import { factElement } from '../facts';
import type { Fact } from '../facts';
import { fileName } from '../file-name';
import { formatBytes, formatCompact, formatCount, formatDuration, formatPercent } from '../format';
import { strings } from '../strings';
import type { Frame, PanelPart } from './panel-part';
import type { ModelSummary } from './types';

/** The model's name, what it is, and what its profile was made with. */
export function createHeader(actions: HTMLElement): PanelPart {
  const name = h('h1');
  const architecture = h('span', { class: 'tag' });
  const facts = h('dl', { class: 'facts' });
  const warnings = h('ul');
  const warningCount = h('summary');
  const warningBox = h('details', { class: 'warnings', hidden: true }, warningCount, warnings);
  const element = h(
    'header',
    {},
    h('div', { class: 'top' }, h('div', { class: 'title' }, name, architecture), actions),
  );
  const body = h('div', { class: 'about' }, facts, warningBox);
  let drawn = '';

  return {
    element: h('div', { class: 'header' }, element, body),
    update: ({ state }) => {
      setText(name, state.model.name);
      name.title = state.model.path;
      setText(architecture, state.model.architecture);
      const list = factsOf(state);
      const next = JSON.stringify([list, state.model.warnings]);
      if (next === drawn) return;
      drawn = next;
      setChildren(facts, list.map(factElement));
      warningBox.hidden = state.model.warnings.length === 0;
      setText(warningCount, strings.warnings(state.model.warnings.length));
      setChildren(
        warnings,
        state.model.warnings.map((warning) => h('li', {}, warning)),
      );
    },
  };
}

function factsOf({ model, profile, profileFile }: Frame['state']): Fact[] {
  const facts: Fact[] = [
    {
      name: strings.parameters,
      value: formatCompact(model.parameters),
      title: formatCount(model.parameters),
    },
    { name: strings.size, value: sizeOf(model), title: sizeTitle(model) },
    {
      name: strings.structure,
      value: strings.structureValue(formatCount(model.blocks), formatCount(model.sublayers.length)),
    },
  ];
  if (model.hiddenSize !== undefined) {
    facts.push({ name: strings.hiddenSize, value: formatCount(model.hiddenSize) });
  }
  if (profile === undefined) return facts;
  const { calibration, search, settings } = profile;
  const { choice } = calibration;
  const source =
    calibration.source === 'bundled' ? strings.bundledText : fileName(calibration.source);
  facts.push(
    {
      name: strings.calibration,
      value: strings.calibrationValue(
        formatCount(calibration.sequences),
        formatCount(calibration.length),
        source,
      ),
      title: [
        strings.calibrationTitle(
          calibration.source,
          formatCount(calibration.tokens),
          calibration.fingerprint,
        ),
        ...(choice === undefined
          ? []
          : [
              strings.calibrationChoice(
                choice.policy,
                formatCount(choice.windows),
                fileName(choice.scores),
              ),
            ]),
      ].join('\n'),
    },
    { name: strings.metric, value: settings.metric, title: profile.metricDefinition },
  );
  if (search !== undefined) {
    facts.push({
      name: strings.search,
      value: strings.searchValue(settings.mode, formatDuration(search.seconds)),
      title: strings.searchTitle(
        formatCount(search.sublayerEvaluations),
        formatCount(search.naiveSublayerEvaluations),
        formatPercent(search.sublayerEvaluations / search.naiveSublayerEvaluations),
      ),
    });
  }
  if (profile.device !== undefined) facts.push({ name: strings.device, value: profile.device });
  if (profileFile !== undefined) {
    facts.push({ name: strings.profileFile, value: fileName(profileFile), title: profileFile });
  }
  return facts;
}

function sizeOf(model: ModelSummary): string {
  return `${formatBytes(model.bytes)} (${Object.keys(model.dtypes).join(', ')})`;
}

function sizeTitle(model: ModelSummary): string {
  return Object.entries(model.dtypes)
    .map(([dtype, bytes]) => `${dtype}: ${formatBytes(bytes)}`)
    .join('\n');
}

import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { PageHeader } from '../components/page-header';
import { formatCount, formatPercent } from '../format';
import { isDone, mean } from './population';
import { strings } from './strings';
import type { SymbolicPanel } from './symbolic-panel';
import type { Evolution } from './types';

interface HeaderProps {
  readonly panel: SymbolicPanel;
  readonly evolution: Evolution;
}

/** Summary of the evolution and its data. */
export function Header({ panel, evolution }: HeaderProps): VNode {
  const file = panel.get('file');
  return (
    <PageHeader
      title={folderName(file)}
      tooltip={file}
      blocked={panel.get('blocked')}
      actionsLabel={strings.actions}
      actions={
        // The log is written when all is done.
        evolution.best !== undefined && (
          <Button
            label={strings.openText}
            title={strings.openTextTitle}
            onClick={panel.run.openText}
          />
        )
      }
    >
      <Facts facts={listFacts(evolution)} />
    </PageHeader>
  );
}

function folderName(file: string): string {
  return file.split(/[\\/]/).at(-2) ?? file;
}

function listFacts({ settings, iterations, baselines, best }: Evolution): Fact[] {
  const { data, population, keep, programLimit, size, mode, epochs, seed } = settings;
  const done = iterations.filter(isDone).length;
  const examples = [data.train, data.validation, data.test].map(formatCount);
  const [train = '', validation = '', test = ''] = examples;
  const model =
    best === undefined ? undefined : iterations[best.iteration - 1]?.models[best.model - 1];
  return [
    ...(model === undefined
      ? []
      : [
          {
            name: strings.best,
            value: strings.bestValue(model.name, formatPercent(model.metrics.test)),
          },
        ]),
    ...(baselines.length === 0
      ? []
      : [
          {
            name: strings.baseline,
            value: formatPercent(mean(baselines.map((metrics) => metrics.test))),
            title: strings.baselineTitle,
          },
        ]),
    { name: strings.iterations, value: strings.iterationsValue(done, settings.iterations) },
    { name: strings.population, value: strings.populationValue(population, keep) },
    { name: strings.programs, value: formatCount(programLimit) },
    {
      name: strings.data,
      value: strings.dataName[data.mode],
      title: strings.dataTitle[data.mode],
    },
    { name: strings.examples, value: strings.examplesValue(train, validation, test) },
    { name: strings.network, value: strings.networkValue(size, mode, epochs) },
    { name: strings.seed, value: String(seed) },
  ];
}

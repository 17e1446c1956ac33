import { basename } from 'node:path';
import type { Plan } from '../../plans/plan';
import { listed, listedIds } from '../report';
import type { Report } from '../report';

/** @param file path of the plan */
export function planReport(plan: Plan, file: string): Report {
  const { model, remove, widths = [], compress = [], patch = [], protect = [], note } = plan;
  const changes = [
    [remove.length, 'removed'],
    [widths.length, 'width-pruned'],
    [compress.length, 'layers compressed'],
    [patch.length, 'replaced by graph modules'],
  ] as const;
  const made = changes.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return {
    title: `Plan ${basename(file)}`,
    facts: [
      { name: 'Model', value: basename(model.path) },
      { name: 'Changes', value: made.join(', ') || 'none' },
      ...(note === undefined ? [] : [{ name: 'Note', value: note }]),
    ],
    sections: [
      ...listedIds('Removed', remove),
      ...listed(
        'Width pruned',
        [{ title: 'sublayer' }, { title: 'what is removed' }],
        widths.map((one) => [one.sublayer, one.remove]),
      ),
      ...listed(
        'Compressed',
        [{ title: 'layer' }, { title: 'method' }, { title: 'setting', isNumeric: true }],
        compress.map(({ tensor, method, variant, then, setting }) => [
          tensor,
          [method, variant, then].filter(Boolean).join(' '),
          String(setting),
        ]),
      ),
      ...listed(
        'Replaced by graph modules',
        [{ title: 'sublayer' }, { title: 'program' }],
        patch.map(({ sublayer, program }) => [sublayer, program]),
      ),
      ...listed(
        'Protected',
        [{ title: 'sublayer' }],
        protect.map((id) => [id]),
      ),
    ],
    origin:
      model.fingerprint === undefined
        ? 'The plan does not say which model it was made for'
        : `Model fingerprint ${model.fingerprint}`,
  };
}

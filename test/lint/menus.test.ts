import { describe, expect, it } from 'vitest';
import { pathsWithout } from '../../extension/services/documents/model-context';
import manifest from '../../package.json';

interface Entry {
  readonly command?: string;
  readonly submenu?: string;
  readonly when?: string;
  readonly group?: string;
}

const { commands, menus, submenus } = manifest.contributes;
const listEntries = (menu: string): readonly Entry[] =>
  (menus as Readonly<Record<string, readonly Entry[]>>)[menu] ?? [];

describe('menus', () => {
  it.each([
    ['espalier.model', 5],
    ['espalier.plan', 6],
    ['espalier.scores', 6],
    // Paths of models are in it too.
    ['espalier.modelMore', 10],
  ])('%s has at most %d entries, actions before views', (menu, most) => {
    const entries = listEntries(menu);
    expect(entries.length).toBeLessThanOrEqual(most);
    const groups = entries.map(({ group = '' }) => group);
    expect(groups).toEqual([...groups].sort());
    expect(groups[0]).toMatch(/_do@1$/);
  });

  it('of a model in the side bar has at most five entries, and inline buttons', () => {
    const modelEntries = listEntries('view/item/context').filter(({ when = '', group = '' }) =>
      when.includes('/^model') || when.includes('/^(model|broken)')
        ? !when.includes('!(viewItem') && !group.startsWith('inline')
        : false,
    );
    expect(modelEntries.map(({ command, submenu }) => command ?? submenu)).toEqual([
      ...['espalier.makeSmaller', 'espalier.profileLayers', 'espalier.evaluateModel'],
      ...['espalier.inspectModel', 'espalier.modelMore'],
    ]);
  });

  it('outside of the side bar test the keys that the extension sets', () => {
    const keys = Object.keys(pathsWithout([]));
    const tested = ['espalier.model', 'espalier.modelMore'].flatMap((menu) =>
      listEntries(menu).flatMap(({ when = '' }) => when.match(/espalier\.without\.\w+/g) ?? []),
    );
    expect([...new Set(tested)].sort()).toEqual([...keys].sort());
  });

  it('offer to install CUDA only if there is an NVIDIA GPU', () => {
    const entry = listEntries('commandPalette').find(
      ({ command }) => command === 'espalier.installCuda',
    );
    expect(entry?.when).toBe('espalier.canInstallCuda');
  });

  it('lead to every task of a model', () => {
    const reached = ['espalier.model', 'espalier.modelMore'].flatMap((menu) =>
      listEntries(menu).map(({ command }) => command),
    );
    expect(new Set(reached).size).toBe(reached.length);
    expect(reached).toContain('espalier.openHeatmap');
    expect(submenus.map(({ id }) => id)).toContain('espalier.modelMore');
  });

  it('of an MoE layer in the heatmap scores its experts, which the palette does not', () => {
    const command = 'espalier.scoreExperts';
    const heatmapEntry = listEntries('webview/context').find((entry) => entry.command === command);
    expect(heatmapEntry?.when).toMatch(/webviewSection == 'sublayer' && hasExperts/);
    expect(listEntries('commandPalette')).toContainEqual({ command, when: 'false' });
  });

  it('the palette shows commands that need neither a panel nor a job', () => {
    const conditions = new Map(
      listEntries('commandPalette').map(({ command, when }) => [command, when]),
    );
    const always = commands
      .map(({ command }) => command)
      .filter((command) => !conditions.has(command));
    expect(always.length).toBeLessThanOrEqual(18);
    expect(always.filter((command) => /resume/i.test(command))).toEqual(['espalier.resumeJob']);
  });
});

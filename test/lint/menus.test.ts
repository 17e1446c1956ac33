import { describe, expect, it } from 'vitest';
import manifest from '../../package.json';

interface Entry {
  readonly command?: string;
  readonly submenu?: string;
  readonly when?: string;
  readonly group?: string;
}

const { commands, menus, submenus } = manifest.contributes;
const entriesOf = (menu: string): readonly Entry[] =>
  (menus as Readonly<Record<string, readonly Entry[]>>)[menu] ?? [];

describe('menus', () => {
  it.each(['espalier.model', 'espalier.plan', 'espalier.scores', 'espalier.modelMore'])(
    '%s has about six entries, actions before views',
    (menu) => {
      const entries = entriesOf(menu);
      expect(entries.filter(({ command }) => command !== undefined).length).toBeLessThanOrEqual(6);
      const groups = entries.map(({ group = '' }) => group);
      expect(groups).toEqual([...groups].sort());
      expect(groups[0]).toMatch(/_do@1$/);
    },
  );

  it('lead to every task of a model', () => {
    const reached = ['espalier.model', 'espalier.modelMore'].flatMap((menu) =>
      entriesOf(menu).map(({ command }) => command),
    );
    expect(new Set(reached).size).toBe(reached.length);
    expect(reached).toContain('espalier.openHeatmap');
    expect(submenus.map(({ id }) => id)).toContain('espalier.modelMore');
  });

  it('of a mixture in the heatmap scores its experts, which the palette does not', () => {
    const command = 'espalier.scoreExperts';
    const inHeatmap = entriesOf('webview/context').find((entry) => entry.command === command);
    expect(inHeatmap?.when).toMatch(/webviewSection == 'sublayer' && hasExperts/);
    expect(entriesOf('commandPalette')).toContainEqual({ command, when: 'false' });
  });

  it('the palette shows what can be done without a panel or a job', () => {
    const conditions = new Map(
      entriesOf('commandPalette').map(({ command, when }) => [command, when]),
    );
    const always = commands
      .map(({ command }) => command)
      .filter((command) => !conditions.has(command));
    expect(always.length).toBeLessThanOrEqual(18);
    expect(always.filter((command) => /resume/i.test(command))).toEqual(['espalier.resumeJob']);
  });
});

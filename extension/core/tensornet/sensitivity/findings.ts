import { methodNames } from '../compression-choice';
import type { MethodName } from '../compression-choice';
import type { LinearRole } from '../../models/matrix-encoding';
import type { LayerSensitivity, SensitivityEntry, SensitivityProfile } from './sensitivity-profile';

/** Mean distance of compressing one layer of a group to about half of its bytes. */
export interface GroupSensitivity<Group extends string> {
  readonly group: Group;
  readonly layers: number;
  readonly distance: number;
}

export const depths = ['early', 'middle', 'late'] as const;
export type Depth = (typeof depths)[number];

/**
 * What a table shows of the two claims of the paper (arXiv 2401.14109, § 3): that early blocks are
 * the sensitive ones, and that the last matrix of the feed-forward is best left alone.
 */
export interface MethodFindings {
  readonly method: MethodName;
  /** Thirds of the blocks. */
  readonly byDepth: readonly GroupSensitivity<Depth>[];
  readonly byRole: readonly GroupSensitivity<LinearRole>[];
  readonly earlyIsMostSensitive: boolean;
  /** Undefined where no layer is a down projection, or all are. */
  readonly downIsMostSensitive: boolean | undefined;
}

/** The share of a layer's bytes at which levels are compared. */
const comparedShare = 0.5;

/** For every method of the table; layers are compared at the level that leaves about half of them. */
export function findingsOf(
  table: Pick<SensitivityProfile, 'model' | 'layers' | 'original'>,
): MethodFindings[] {
  const used = methodNames.filter((method) =>
    table.layers.some(({ entries }) => entries.some((entry) => entry.method === method)),
  );
  const lastBlock = Math.max(1, table.model.blocks - 1);
  return used.map((method) => {
    const measured = table.layers.flatMap((layer) => {
      const entry = nearestToHalf(layer, method);
      return entry === undefined
        ? []
        : [{ layer, distance: Math.max(0, entry.distance - table.original) }];
    });
    const depthOf = ({ block }: LayerSensitivity): Depth =>
      depths[Math.min(2, Math.floor((3 * block) / (lastBlock + 1)))] ?? 'late';
    const byDepth = grouped(measured, (layer) => depthOf(layer));
    const byRole = grouped(measured, ({ role }) => role);
    return {
      method,
      byDepth,
      byRole,
      earlyIsMostSensitive: highest(byDepth) === 'early',
      downIsMostSensitive:
        byRole.length > 1 && byRole.some(({ group }) => group === 'down')
          ? highest(byRole) === 'down'
          : undefined,
    };
  });
}

/** What has been measured of a method where it leaves about half of a layer's bytes. */
export function nearestToHalf(
  { entries, bytes }: LayerSensitivity,
  method: MethodName,
): SensitivityEntry | undefined {
  let [nearest, least]: [SensitivityEntry | undefined, number] = [undefined, Infinity];
  for (const entry of entries) {
    const far = Math.abs(entry.bytes / bytes - comparedShare);
    if (entry.method === method && far < least) {
      [nearest, least] = [entry, far];
    }
  }
  return nearest;
}

function grouped<Group extends string>(
  measured: readonly { readonly layer: LayerSensitivity; readonly distance: number }[],
  groupOf: (layer: LayerSensitivity) => Group,
): GroupSensitivity<Group>[] {
  const groups = new Map<Group, { layers: number; sum: number }>();
  for (const { layer, distance } of measured) {
    const group = groupOf(layer);
    const { layers, sum } = groups.get(group) ?? { layers: 0, sum: 0 };
    groups.set(group, { layers: layers + 1, sum: sum + distance });
  }
  return [...groups].map(([group, { layers, sum }]) => ({ group, layers, distance: sum / layers }));
}

function highest<Group extends string>(
  groups: readonly GroupSensitivity<Group>[],
): Group | undefined {
  return groups.reduce<GroupSensitivity<Group> | undefined>(
    (best, one) => (best === undefined || one.distance > best.distance ? one : best),
    undefined,
  )?.group;
}

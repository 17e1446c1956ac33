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

/** Thirds of the blocks of a model. */
export const blockThirds = ['early', 'middle', 'late'] as const;
export type BlockThird = (typeof blockThirds)[number];

/**
 * Test of two claims of the paper (arXiv 2401.14109, § 3) on a profile: early blocks are the most sensitive ones, and
 * the down projection of the MLP is best left unchanged.
 */
export interface MethodFindings {
  readonly method: MethodName;
  /** By thirds of the blocks. */
  readonly byDepth: readonly GroupSensitivity<BlockThird>[];
  readonly byRole: readonly GroupSensitivity<LinearRole>[];
  readonly earlyIsMostSensitive: boolean;
  /** Undefined if no layer is a down projection, or all are. */
  readonly downIsMostSensitive: boolean | undefined;
}

/** Share of a layer's bytes at which settings are compared. */
const comparedShare = 0.5;

/** Findings for every method of the profile; layers are compared at the setting that keeps about half of their bytes. */
export function summarizeFindings(
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
    const blockDepth = ({ block }: LayerSensitivity): BlockThird =>
      blockThirds[Math.min(2, Math.floor((3 * block) / (lastBlock + 1)))] ?? 'late';
    const byDepth = grouped(measured, (layer) => blockDepth(layer));
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

/** Measured entry of a method that keeps about half of a layer's bytes. */
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

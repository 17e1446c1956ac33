import { dirname, relative } from 'node:path';
import { planFor, plannedChanges } from '../../core/plans/plan';
import type { Plan } from '../../core/plans/plan';
import { planNote } from '../../core/tensornet/budget/refine-plan';
import { calibrationNames } from '../../core/operations/shared-fields';
import type { CompressionSession } from '../sessions/compression-session';
import type { ModelSession } from '../sessions/model-session';

/** The session's selection as a plan document for `planPath`. */
export function selectionPlan(session: ModelSession, planPath: string): Plan {
  const { removed, protectedIds } = session.selection;
  const { widths } = session;
  const from = pathFrom(planPath);
  const { path, fingerprint } = session.model;
  return planFor(
    { path: from(path), fingerprint },
    {
      remove: removed,
      ...(widths.length === 0 ? {} : { widths }),
      ...(session.patches.length === 0
        ? {}
        : { patch: session.patches.map((one) => ({ ...one, file: from(one.file) })) }),
      ...(protectedIds.length === 0 ? {} : { protect: protectedIds }),
      ...(session.profile?.search === undefined ? {} : { profile: from(session.profilePath) }),
    },
  );
}

/** The session's budget plan as a plan to be saved at `planPath`, if there is one. */
export function budgetPlan(
  { model, plan, table }: CompressionSession,
  planPath: string,
): Plan | undefined {
  if (plan === undefined) {
    return undefined;
  }
  const { limits, result } = plan;
  const { path, fingerprint } = model;
  return planFor(
    { path: pathFrom(planPath)(path), fingerprint },
    {
      ...plannedChanges(result),
      note: planNote(result, limits, table?.metric ?? ''),
    },
  );
}

/** Settings that have no effect on this plan. */
export const idleSettings = ({ compress = [] }: Plan): typeof calibrationNames | readonly [] =>
  compress.length === 0 ? calibrationNames : [];

function pathFrom(planPath: string): (path: string) => string {
  return (path) => relative(dirname(planPath), path).replaceAll('\\', '/') || '.';
}

import { dirname, relative } from 'node:path';
import type { PrunePlan } from '../core/export/prune-plan';
import type { ModelSession } from './model-session';

/** The session's choice as a plan that lies at `planPath`. */
export function planOf(session: ModelSession, planPath: string): PrunePlan {
  const { removed, protectedIds } = session.selection;
  const from = (path: string): string =>
    relative(dirname(planPath), path).replaceAll('\\', '/') || '.';
  return {
    format: 'espalier.pruneplan',
    version: 1,
    model: { path: from(session.model.path), fingerprint: session.model.fingerprint },
    remove: removed,
    ...(protectedIds.length === 0 ? {} : { protect: protectedIds }),
    ...(session.profile?.search === undefined ? {} : { profile: from(session.profilePath) }),
  };
}

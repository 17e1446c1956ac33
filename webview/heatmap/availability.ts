import type { HeatmapState } from '../../extension/protocol/heatmap';
import { strings } from './strings';
import { tell } from '../translate';

/** Reason why an action is disabled; undefined if it is enabled. */
export interface Availability {
  readonly profile: string | undefined;
  readonly prune: string | undefined;
  readonly evaluate: string | undefined;
  readonly showDrift: string | undefined;
  readonly savePlan: string | undefined;
  /** True if the main button resumes the search. */
  readonly resumable: boolean;
}

/**
 * A plan is a text file, so that saving one needs neither trust nor an idle worker; evaluating with
 * nothing selected measures the original.
 */
export function findAvailability(
  state: Pick<HeatmapState, 'job' | 'blocked' | 'removed' | 'widthPruned' | 'cannot'>,
): Availability {
  const { job } = state;
  const active =
    job.kind === 'running' || job.kind === 'queued'
      ? strings.reasonActive(job.name, job.kind)
      : undefined;
  const nothing = isWhole(state) ? strings.reasonNothingSelected : undefined;
  const cannot = (name: keyof typeof state.cannot): string | undefined =>
    state.cannot[name] && tell(state.cannot[name]);
  const cannotRun = cannot('run') ?? state.blocked ?? active;
  return {
    profile: cannot('removeBlocks') ?? cannotRun,
    prune: cannotRun ?? nothing,
    evaluate: cannot('evaluate') ?? cannotRun,
    showDrift: cannotRun,
    savePlan: nothing,
    resumable: resumesProfile(job),
  };
}

/** True if a selection removes nothing and prunes no widths. */
export function isWhole({
  removed,
  widthPruned,
}: Pick<HeatmapState, 'removed' | 'widthPruned'>): boolean {
  return removed.length + Object.keys(widthPruned).length === 0;
}

/** True if the search was stopped and can be resumed. */
export function resumesProfile(job: HeatmapState['job']): boolean {
  return job.kind === 'stopped' && job.makesDocument && job.saved !== undefined;
}

/** True if there is no profile to show, and no job running. */
export function isEmpty({ profile, job }: Pick<HeatmapState, 'profile' | 'job'>): boolean {
  return profile === undefined && job.kind === 'idle';
}

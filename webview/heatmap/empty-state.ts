import type { HeatmapState } from '../../extension/protocol/heatmap';
import { createButton } from '../components/toolkit';
import { h } from '../dom';
import { strings } from '../strings';
import { availabilityOf } from './availability';
import type { PanelPart } from './panel-part';
import type { Send } from './types';

/** Whether there is nothing to show of a profile, and nothing under way. */
export function isEmpty({ profile, job }: Pick<HeatmapState, 'profile' | 'job'>): boolean {
  return profile === undefined && job.kind === 'idle';
}

/** What to do with a model that has not been profiled. */
export function createEmptyState(send: Send): PanelPart {
  const button = createButton(strings.profile, true, () => {
    send({ type: 'profile' });
  });
  const element = h(
    'section',
    { class: 'empty', 'aria-label': strings.profile },
    h('p', { class: 'lead' }, strings.empty),
    h('p', { class: 'muted' }, strings.emptyDetail),
    button.element,
  );
  return {
    element,
    update: ({ state }) => {
      element.hidden = !isEmpty(state);
      button.setState(availabilityOf(state).profile, strings.profileTitle);
    },
  };
}

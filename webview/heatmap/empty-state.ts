import { createButton } from '../components/toolkit';
import { h } from '../dom';
import { strings } from '../strings';
import { availabilityOf, isEmpty } from './availability';
import type { PanelPart } from './panel-part';
import type { Send } from './types';

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

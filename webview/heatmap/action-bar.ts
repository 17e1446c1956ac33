import { createButton } from '../components/toolkit';
import { h, setText } from '../dom';
import { warningIcon } from '../icons';
import { strings } from '../strings';
import { availabilityOf, isEmpty } from './availability';
import type { PanelActions, PanelPart } from './panel-part';

/** The buttons that start jobs. The main one is what comes next: profiling first, then pruning. */
export function createActionBar({ send }: PanelActions): PanelPart {
  let resumable = false;
  const profile = createButton(strings.profile, true, () => {
    send({ type: resumable ? 'resume' : 'profile' });
  });
  const prune = createButton(strings.prune, false, () => {
    send({ type: 'prune' });
  });
  const evaluate = createButton(strings.evaluate, false, () => {
    send({ type: 'evaluate' });
  });
  const savePlan = createButton(strings.savePlan, false, () => {
    send({ type: 'savePlan' });
  });
  const compression = createButton(strings.compression, false, () => {
    send({ type: 'openCompression' });
  });
  compression.setState(undefined, strings.compressionTitle);
  return {
    element: h(
      'div',
      { class: 'actions', role: 'group', 'aria-label': strings.actions },
      profile.element,
      evaluate.element,
      savePlan.element,
      prune.element,
      compression.element,
    ),
    update: ({ state }) => {
      const available = availabilityOf(state);
      resumable = available.resumable;
      const next =
        resumable || state.profile === undefined || state.profile.rounds.length === 0
          ? 'profile'
          : 'prune';
      profile.element.hidden = isEmpty(state);
      profile.setLabel(resumable ? strings.resume : strings.profile);
      profile.setPrimary(next === 'profile');
      prune.setPrimary(next === 'prune');
      profile.setState(available.profile, resumable ? strings.resumeTitle : strings.profileTitle);
      prune.setState(available.prune, strings.pruneTitle);
      evaluate.setState(available.evaluate, strings.evaluateTitle);
      savePlan.setState(available.savePlan, strings.savePlanTitle);
    },
  };
}

/** Says why jobs cannot run at all. */
export function createBlockedNotice(): PanelPart {
  const text = h('span');
  const element = h('p', { class: 'notice warning', hidden: true }, warningIcon(), text);
  return {
    element,
    update: ({ state }) => {
      element.hidden = state.blocked === undefined;
      setText(text, state.blocked ?? '');
    },
  };
}

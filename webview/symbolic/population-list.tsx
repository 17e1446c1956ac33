import type { TargetedKeyboardEvent, VNode } from 'preact';
import { Dropdown } from '../components/controls';
import { nextInList } from '../components/list-walk';
import { Section } from '../components/section';
import { formatCount, formatPercent } from '../format';
import { GraphDrawing } from '../graph/graph-drawing';
import { listMembers, orders } from './population';
import type { Member } from './population';
import { strings } from './strings';
import type { SymbolicPanel } from './symbolic-panel';
import type { Evolution, Place } from './types';
import { listed } from '../translate';

interface PopulationProps {
  readonly panel: SymbolicPanel;
  readonly evolution: Evolution;
  readonly selected: Place | undefined;
}

const orderChoices = orders.map((value) => ({ value, label: strings.orderName(value) }));

/** The graphs of one iteration as cards of a listbox. */
export function Population({ panel, evolution, selected }: PopulationProps): VNode {
  const { iteration, order } = panel.view.value;
  const count = evolution.iterations.length;
  const shown = Math.min(iteration ?? count - 1, count - 1);
  const members = listMembers(evolution, shown, order);
  const isSelected = ({ place }: Member) =>
    place.iteration === selected?.iteration && place.model === selected.model;
  const current = Math.max(0, members.findIndex(isSelected));
  const walk = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const cards = [...event.currentTarget.children].filter((one) => one instanceof HTMLElement);
    const from = cards.findIndex((card) => card === document.activeElement);
    const next = nextInList(cards, from, event.key);
    const member = next === undefined ? undefined : members[next];
    if (next === undefined || member === undefined) return;
    event.preventDefault();
    panel.setView({ selected: member.place });
    cards[next]?.focus();
  };
  return (
    <Section id="population-title" title={strings.populationTitle}>
      <div class="choices">
        <span>
          <Dropdown
            label={strings.iteration}
            options={iterationChoices(count)}
            value={iteration === undefined || iteration >= count ? 'latest' : String(iteration)}
            onChange={(chosen) => {
              panel.setView({ iteration: chosen === 'latest' ? undefined : Number(chosen) });
            }}
          />
        </span>
        <Dropdown
          label={strings.order}
          options={orderChoices}
          value={order}
          onChange={(chosen) => {
            panel.setView({ order: chosen });
          }}
        />
      </div>
      <p class="muted">{strings.graphsOf(shown + 1, formatCount(members.length))}</p>
      <div
        class="population"
        role="listbox"
        aria-label={strings.listLabel(shown + 1)}
        onKeyDown={walk}
      >
        {members.map((member, i) => (
          <Card
            key={`${member.place.iteration} ${member.place.model}`}
            member={member}
            isSelected={isSelected(member)}
            isCurrent={i === current}
            onSelect={() => {
              panel.setView({ selected: member.place });
            }}
          />
        ))}
      </div>
    </Section>
  );
}

function iterationChoices(count: number): { readonly value: string; readonly label: string }[] {
  const numbered = Array.from({ length: count }, (_, i) => ({
    value: String(i),
    label: strings.populationOf(i + 1),
  }));
  return [{ value: 'latest', label: strings.latest }, ...numbered];
}

interface CardProps {
  readonly member: Member;
  readonly isSelected: boolean;
  /** True if the row is in the tab order. */
  readonly isCurrent: boolean;
  readonly onSelect: () => void;
}

function Card({ member, isSelected, isCurrent, onSelect }: CardProps): VNode {
  const { place, model, isBest } = member;
  const { name, graph, program, mass, metrics, kept = false } = model;
  const percents = [metrics.test, metrics.validation, metrics.train].map(formatPercent);
  const [test = '', validation = '', train = ''] = percents;
  const badges = [...(isBest ? [strings.bestBadge] : []), ...(kept ? [strings.keptBadge] : [])];
  const numbers = [
    [strings.test, test],
    [strings.validation, validation],
    [strings.train, train],
    [strings.mass, mass],
  ] as const;
  return (
    <div
      class="card module"
      role="option"
      aria-label={listed([strings.memberLabel(name, test, validation, mass), ...badges])}
      aria-selected={isSelected}
      tabIndex={isCurrent ? 0 : -1}
      data-model={place.model}
      onClick={onSelect}
    >
      <div class="card-head">
        <strong>{name}</strong>
        <span>
          {badges.map((badge) => (
            <span key={badge} class="badge">
              {badge}
            </span>
          ))}
        </span>
      </div>
      <div class="content" aria-hidden="true">
        <GraphDrawing graph={graph} label="" />
      </div>
      <code class="program short">{program.text}</code>
      <div class="card-numbers">
        {numbers.map(([title, value]) => (
          <span key={title} class="fact-pair">
            <span class="muted">{title}</span> {value}
          </span>
        ))}
      </div>
    </div>
  );
}

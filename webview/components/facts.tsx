import type { VNode } from 'preact';
import { Button } from './controls';
import type { ButtonProps } from './controls';

/** A fact about a model, a document or a run. */
export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly title?: string | undefined;
}

interface FactsProps {
  readonly facts: readonly Fact[];
  /** Below each other. */
  readonly stacked?: boolean;
  readonly class?: string;
}

export function Facts({ facts, stacked = false, class: name = '' }: FactsProps): VNode {
  return (
    <dl class={`facts ${stacked ? 'stacked' : ''} ${name}`.trim()}>
      {facts.map(({ name, value, title }) => (
        <div key={name} class="fact" title={title}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly note: string;
  /** Reason why the number is unknown, if it is. */
  readonly reason?: string | undefined;
  /** Explanation of the value. */
  readonly meaning?: string;
  /** Button that measures the number. */
  readonly action?: ButtonProps | undefined;
}

/** A number with its name and a rating; rendered in a definition list. */
export function Tile({ name, value, note, reason, meaning, action }: TileProps): VNode {
  return (
    <div class={reason === undefined ? 'tile' : 'tile disabled'} title={reason ?? meaning}>
      <dt>{name}</dt>
      <dd>
        <span class="tile-value">{value}</span>
        <span class="muted">{note}</span>
        {action && <Button {...action} />}
      </dd>
    </div>
  );
}

import type { TargetedKeyboardEvent, VNode } from 'preact';
import { nextInList } from '../components/list-walk';
import { formatPercent } from '../format';
import type { PlaygroundPanel, Token } from './playground-panel';
import { strings } from './strings';
import { classifySureness } from './texts';

interface TokenListProps {
  readonly panel: PlaygroundPanel;
  readonly name: string;
  /** Number of the model. */
  readonly model: number;
  readonly tokens: readonly Token[];
  /** Number of the first token that the other text has differently. */
  readonly difference: number | undefined;
}

/** A text by its tokens, which are walked with the arrow keys. */
export function TokenList(props: TokenListProps): VNode {
  const { panel, name, model, tokens, difference } = props;
  const { selected } = panel.view.value;
  const own = selected?.model === model ? selected.token : undefined;
  const select = (token: number): void => {
    panel.setView({ selected: { model, token } });
  };
  const walk = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const parts = [...event.currentTarget.children].filter((one) => one instanceof HTMLElement);
    const next = nextInList(parts, parts.indexOf(document.activeElement as HTMLElement), event.key);
    if (next === undefined) return;
    event.preventDefault();
    select(next);
    parts[next]?.focus();
  };
  return (
    <div class="tokens" role="listbox" aria-label={strings.tokensOf(name)} onKeyDown={walk}>
      {tokens.map((token, i) => (
        <span
          key={i}
          class={i === difference ? 'token first' : 'token'}
          role="option"
          aria-selected={i === own}
          aria-label={spokenName(token)}
          tabIndex={i === (own ?? 0) ? 0 : -1}
          data-sureness={classifySureness(token)}
          onFocus={() => {
            select(i);
          }}
          onPointerEnter={() => {
            select(i);
          }}
        >
          {token.text}
        </span>
      ))}
    </div>
  );
}

interface ChancesProps {
  readonly name: string;
  readonly place: number;
  readonly token: Token;
}

/** Other tokens that a model considered at a position. */
export function Chances({ name, place, token }: ChancesProps): VNode {
  // Different tokens may have the same text, such as parts of a character.
  const isTaken = ({ text, probability }: Chance): boolean =>
    text === token.text && probability === token.probability;
  const rows = token.likeliest.some(isTaken) ? token.likeliest : [token, ...token.likeliest];
  return (
    <table class="plain chances">
      <caption class="muted">{strings.chances(name, place)}</caption>
      <thead>
        <tr>
          <th scope="col">{strings.token}</th>
          <th scope="col">{strings.probability}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row, i) => (
          <tr key={i}>
            <td>{isTaken(row) ? <strong>{visible(row)}</strong> : visible(row)}</td>
            <td>{formatPercent(row.probability)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

type Chance = Token['likeliest'][number];

/** Line ends as a sign. */
const visible = ({ text }: Chance): string =>
  text === '' ? strings.noText : text.replaceAll('\n', '⏎');

/** Accessible name of a text without words. */
function spokenName({ text }: Token): string | undefined {
  if (text === '') return strings.noText;
  return text.trim() === '' ? strings.whiteSpace : undefined;
}

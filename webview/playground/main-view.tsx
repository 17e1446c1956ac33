import type { VNode } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Button } from '../components/controls';
import { Failure, Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { Section } from '../components/section';
import { fileName } from '../file-name';
import { formatCompact } from '../format';
import { Form } from './form';
import type { Pace, PlaygroundPanel, Token, Turn } from './playground-panel';
import { strings } from './strings';
import { splitColumns, firstDifference } from './texts';
import type { Sureness } from './texts';
import { Chances, TokenList } from './token-list';

/** A prompt, and how one model or two continue it. */
export function Main({ panel }: { readonly panel: PlaygroundPanel }): VNode {
  const [models, run, tokens] = [panel.get('models'), panel.get('run'), panel.get('tokens')];
  const columns = useMemo(() => splitColumns(tokens, models.length), [tokens, models.length]);
  useTextsAnnounced(panel, columns);
  return (
    <div>
      <PageHeader
        title={models.map(fileName).join(' · ')}
        tooltip={models.join('\n')}
        tags={[strings.title]}
        blocked={panel.get('blocked')}
        actionsLabel={strings.actions}
        actions={
          <Button
            label={strings.compareWith}
            title={strings.compareWithTitle}
            onClick={panel.run.choose}
          />
        }
      >
        {panel.get('warnings').map((text) => (
          <Notice key={text} text={text} />
        ))}
      </PageHeader>
      <Conversation models={models} turns={panel.get('turns')} />
      <Form panel={panel} />
      {run.kind === 'failed' ? (
        <Failure title={strings.failed} message={run.message} />
      ) : (
        run.kind !== 'idle' && <Texts panel={panel} models={models} columns={columns} />
      )}
    </div>
  );
}

interface ConversationProps {
  readonly models: readonly string[];
  readonly turns: readonly Turn[];
}

/** Earlier prompts, and each model's answers. */
function Conversation({ models, turns }: ConversationProps): VNode | null {
  if (turns.length === 0) return null;
  return (
    <Section id="conversation-title" title={strings.conversation}>
      <ol class="turns">
        {turns.map(({ prompt, answers }, i) => (
          <li key={i}>
            <p class="asked">
              <span class="muted">{strings.asked}</span> {prompt}
            </p>
            <div class={models.length > 1 ? 'columns even' : 'columns'}>
              {answers.map((text, model) => (
                <p key={model} class="answer">
                  <span class="muted">{fileName(models[model] ?? '')}</span> {text}
                </p>
              ))}
            </div>
          </li>
        ))}
      </ol>
    </Section>
  );
}

interface TextsProps {
  readonly panel: PlaygroundPanel;
  readonly models: readonly string[];
  readonly columns: readonly (readonly Token[])[];
}

function Texts({ panel, models, columns }: TextsProps): VNode {
  const { kind } = panel.get('run');
  const difference = firstDifference(columns);
  const { selected } = panel.view.value;
  const paces = panel.get('paces');
  // The speeds of two programs are not those of the models alone.
  const isMixed = new Set(paces.map(({ llamaCpp }) => llamaCpp)).size > 1;
  // Both models have read the same until then.
  const isShared = (token: number): boolean => token <= (difference ?? token);
  return (
    <Section
      id="texts-title"
      title={strings.texts}
      note={differenceNote(columns, difference, kind === 'running')}
    >
      <div class={models.length > 1 ? 'columns even' : 'columns'}>
        {models.map((path, model) => {
          const tokens = columns[model] ?? [];
          const isShown =
            selected !== undefined && (selected.model === model || isShared(selected.token));
          const chosen = isShown ? tokens[selected.token] : undefined;
          return (
            <div key={path}>
              <h3 title={path}>{fileName(path)}</h3>
              <p class="pace">{paceText(tokens.length, paces[model], kind, isMixed)}</p>
              {tokens.length > 0 && (
                <TokenList {...{ panel, name: fileName(path), model, tokens, difference }} />
              )}
              {isShown && chosen !== undefined && (
                <Chances name={fileName(path)} place={selected.token} token={chosen} />
              )}
            </div>
          );
        })}
      </div>
      <Legend isCompared={models.length > 1} />
    </Section>
  );
}

const surenesses: readonly Sureness[] = ['sure', 'open', 'unlikely'];

function Legend({ isCompared }: { readonly isCompared: boolean }): VNode {
  return (
    <div class="notes">
      <p>{strings.hint}</p>
      <ul class="legend" aria-label={strings.legend}>
        {surenesses.map((sureness) => (
          <li key={sureness}>
            <span class="token" data-sureness={sureness}>
              {strings.sureness[sureness]}
            </span>
          </li>
        ))}
        {isCompared && (
          <li>
            <span class="token first">{strings.firstDifferent}</span>
          </li>
        )}
      </ul>
    </div>
  );
}

/** Position of the first difference between two texts. */
function differenceNote(
  columns: readonly (readonly Token[])[],
  difference: number | undefined,
  isRunning: boolean,
): string | undefined {
  const lengths = columns.map(({ length }) => length);
  const shared = Math.min(...lengths);
  if (columns.length < 2 || shared === 0) return undefined;
  if (difference !== undefined) return strings.differs(difference);
  return isRunning || new Set(lengths).size > 1 ? strings.same(shared) : strings.allSame;
}

function paceText(
  count: number,
  pace: Pace | undefined,
  run: string,
  namesEspalier: boolean,
): string {
  if (count === 0) return run === 'running' ? strings.reading : strings.nothing;
  const speed = pace?.tokensPerSecond ?? undefined;
  return [
    strings.tokens(count),
    ...(speed === undefined ? [] : [strings.speed(formatCompact(speed))]),
    ...(pace?.llamaCpp === undefined ? [] : [strings.inLlama(pace.llamaCpp)]),
    ...(namesEspalier && pace?.llamaCpp === undefined ? [strings.inEspalier] : []),
    ...(pace?.ended === true ? [strings.ended] : []),
  ].join(' · ');
}

/** Says the texts once they are written. */
function useTextsAnnounced(panel: PlaygroundPanel, columns: readonly (readonly Token[])[]): void {
  const { kind } = panel.get('run');
  const last = useRef(kind);
  const models = panel.get('models');
  useEffect(() => {
    if (last.current === 'running' && (kind === 'done' || kind === 'stopped')) {
      const texts = columns.map((tokens, model) =>
        strings.announce(fileName(models[model] ?? ''), tokens.map(({ text }) => text).join('')),
      );
      panel.announce(texts.join('. '));
    }
    last.current = kind;
  }, [kind]);
}

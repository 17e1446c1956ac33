import type { ComponentChildren, VNode } from 'preact';
import { Notice } from './notice';
import { Actions } from './section';

interface PageHeaderProps {
  readonly title: string;
  readonly tooltip?: string | undefined;
  /** Words next to the title. */
  readonly tags?: readonly string[];
  readonly actions: ComponentChildren;
  readonly actionsLabel: string;
  /** Reason why nothing can be run, if any. */
  readonly blocked?: string | undefined;
  readonly children?: ComponentChildren;
}

/** Subject of a page, with its actions, and its facts below. */
export function PageHeader(props: PageHeaderProps): VNode {
  const { title, tooltip, tags = [], actions, actionsLabel, blocked, children } = props;
  return (
    <div class="header">
      <header>
        <div class="top">
          <div class="title">
            <h1 title={tooltip}>{title}</h1>
            {tags.map((tag) => (
              <span key={tag} class="tag">
                {tag}
              </span>
            ))}
          </div>
          <Actions label={actionsLabel}>{actions}</Actions>
        </div>
      </header>
      <div class="about">
        {blocked !== undefined && <Notice text={blocked} />}
        {children}
      </div>
    </div>
  );
}

interface NotesProps {
  readonly title: (count: number) => string;
  readonly texts: readonly string[];
  readonly open: boolean;
}

/** Warnings, collapsed under their count; nothing if there are none. */
export function Notes({ title, texts, open }: NotesProps): VNode | null {
  if (texts.length === 0) return null;
  return (
    <details class="warnings" open={open}>
      <summary>{title(texts.length)}</summary>
      <ul>
        {texts.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
    </details>
  );
}

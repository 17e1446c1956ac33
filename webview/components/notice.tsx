import type { ComponentChildren, VNode } from 'preact';
import { Button } from './controls';
import type { ButtonProps } from './controls';
import { Icon } from './icons';

interface NoticeProps {
  readonly text: string;
  /** Screen readers say it at once. */
  readonly isAlert?: boolean;
}

/** A warning in a box. */
export function Notice({ text, isAlert = false }: NoticeProps): VNode {
  return (
    <div class="notice">
      <Icon name="warning" />
      <p role={isAlert ? 'alert' : undefined}>{text}</p>
    </div>
  );
}

interface FailureProps {
  readonly title: string;
  readonly message: string;
  readonly children?: ComponentChildren;
}

/** Message shown instead of content that failed to load. */
export function Failure({ title, message, children }: FailureProps): VNode {
  return (
    <section class="empty">
      <h2>{title}</h2>
      <p role="alert">{message}</p>
      <div class="actions">{children}</div>
    </section>
  );
}

interface EmptyStateProps {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly action?: ButtonProps;
}

/** Nothing to show yet, and what to do about it. */
export function EmptyState({ id, title, text, action }: EmptyStateProps): VNode {
  return (
    <section class="empty" aria-labelledby={id}>
      <h2 class="lead" id={id}>
        {title}
      </h2>
      <p class="muted">{text}</p>
      {action && <Button {...action} />}
    </section>
  );
}

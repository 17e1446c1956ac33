import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';

interface SectionProps {
  /** Id of the title. */
  readonly id: string;
  readonly title: string;
  readonly class?: string | undefined;
  /** Content after the title. */
  readonly note?: ComponentChildren;
  /** Stand at the right of the title. */
  readonly controls?: ComponentChildren;
  readonly children?: ComponentChildren;
}

export function Section(props: SectionProps): VNode {
  const { id, title, class: name, note, controls, children } = props;
  return (
    <section class={name} aria-labelledby={id}>
      <div class="section-head">
        <h2 id={id}>{title}</h2>
        {note !== undefined && <span class="muted">{note}</span>}
        {controls !== undefined && <div class="controls">{controls}</div>}
      </div>
      {children}
    </section>
  );
}

interface FoldedProps {
  readonly title: string;
  readonly open?: boolean;
  readonly children?: ComponentChildren;
  /** Draws, once it is open, what is costly. */
  readonly draw?: () => VNode;
  readonly onToggle?: (isOpen: boolean) => void;
}

/** Something that is folded until asked for. */
export function Folded({ title, open = false, children, draw, onToggle }: FoldedProps): VNode {
  const [isOpen, setOpen] = useState(open);
  return (
    <details
      class="folded"
      open={open}
      onToggle={({ currentTarget }) => {
        setOpen(currentTarget.open);
        onToggle?.(currentTarget.open);
      }}
    >
      <summary>{title}</summary>
      {children}
      {isOpen && draw?.()}
    </details>
  );
}

interface ActionsProps {
  readonly label: string;
  readonly children?: ComponentChildren;
}

/** A row of buttons. */
export function Actions({ label, children }: ActionsProps): VNode {
  return (
    <div class="actions" role="group" aria-label={label}>
      {children}
    </div>
  );
}

import type { ComponentChildren, VNode } from 'preact';

interface SectionProps {
  /** Of its title. */
  readonly id: string;
  readonly title: string;
  readonly class?: string | undefined;
  /** Stand at the right of the title. */
  readonly controls?: ComponentChildren;
  readonly children?: ComponentChildren;
}

export function Section({ id, title, class: name, controls, children }: SectionProps): VNode {
  return (
    <section class={name} aria-labelledby={id}>
      <div class="section-head">
        <h2 id={id}>{title}</h2>
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
}

/** Something that is folded until asked for. */
export function Folded({ title, open = false, children }: FoldedProps): VNode {
  return (
    <details class="folded" open={open}>
      <summary>{title}</summary>
      {children}
    </details>
  );
}

interface ActionsProps {
  readonly label: string;
  readonly children?: ComponentChildren;
}

/** Buttons beside each other. */
export function Actions({ label, children }: ActionsProps): VNode {
  return (
    <div class="actions" role="group" aria-label={label}>
      {children}
    </div>
  );
}

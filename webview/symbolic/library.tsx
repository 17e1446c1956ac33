import type { VNode } from 'preact';
import { Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount } from '../format';
import { strings } from './strings';
import type { Evolution } from './types';
import { listed } from '../translate';

const columns = [
  { title: strings.name },
  { title: strings.body },
  { title: strings.inlined },
  { title: strings.learnedAfter, isNumber: true },
  { title: strings.utility, isNumber: true },
  { title: strings.usedIn },
];

/** Library of inventions: definitions, when they were learned, and their uses. */
export function Library({ evolution }: { readonly evolution: Evolution }): VNode {
  const { inventions } = evolution;
  return (
    <Section id="library-title" title={strings.library}>
      <div class="library">
        <p class="muted">
          {inventions.length === 0 ? strings.libraryNone : strings.libraryCount(inventions.length)}
        </p>
        {inventions.length > 0 && (
          <ScrollingTable
            caption={strings.libraryTable}
            columns={columns}
            rows={inventions.map(({ name, body: term, iteration, utility, programs }) => [
              <code>{name}</code>,
              <code class="wrap">{term.text}</code>,
              term.uses.length === 0 ? (
                strings.none
              ) : (
                <code class="wrap">{term.reduced?.text ?? strings.inlinedTooLong}</code>
              ),
              iteration,
              formatCount(utility),
              describeUses(programs),
            ])}
          />
        )}
      </div>
    </Section>
  );
}

function describeUses(programs: readonly number[]): string {
  const parts = programs.flatMap((count, i) => (count === 0 ? [] : [strings.usesOf(i + 1, count)]));
  return parts.length === 0 ? strings.unused : listed(parts);
}

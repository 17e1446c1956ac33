import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { formatCount } from '../format';
import { strings } from './strings';
import type { DataMapPanel, Example } from './types';

interface PagerProps {
  readonly panel: DataMapPanel;
  readonly page: number;
  readonly last: number;
  /** Examples of the page. */
  readonly items: readonly Example[];
  readonly isMarked: ReadonlySet<number>;
  readonly onTurn: (page: number) => void;
}

/** Turns pages, and marks or relabels what they show. */
export function Pager({ panel, page, last, items, isMarked, onTurn }: PagerProps): VNode {
  const shown = items.map(({ index }) => index);
  const areAllMarked = shown.length > 0 && shown.every((index) => isMarked.has(index));
  const relabeled = new Set(panel.get('relabeled').map(({ index }) => index));
  const suggested = items.flatMap(({ index, suspected, predicted }) =>
    suspected && predicted !== undefined && !relabeled.has(index)
      ? [{ index, label: predicted }]
      : [],
  );
  const hasSuspects = panel.get('map')?.overview.issues.suspected !== undefined;
  return (
    <div class="pager" role="group" aria-label={strings.pages}>
      <Button
        label={strings.previous}
        reason={page === 0 ? strings.firstPage : undefined}
        onClick={() => {
          onTurn(page - 1);
        }}
      />
      <Button
        label={strings.next}
        reason={page >= last ? strings.lastPage : undefined}
        onClick={() => {
          onTurn(page + 1);
        }}
      />
      <Button
        label={areAllMarked ? strings.unmarkShown : strings.markShown}
        title={strings.markTitle}
        reason={shown.length === 0 ? strings.foundNone : undefined}
        onClick={() => {
          panel.run.mark(shown, !areAllMarked);
        }}
      />
      <span class="muted">{strings.markedCount(formatCount(isMarked.size))}</span>
      {hasSuspects && (
        <Button
          label={strings.useSuggested}
          title={strings.useSuggestedTitle}
          reason={suggested.length === 0 ? strings.noSuggested : undefined}
          onClick={() => {
            panel.run.relabel(suggested);
          }}
        />
      )}
      {relabeled.size > 0 && (
        <>
          <Button
            label={strings.forgetLabels}
            title={strings.forgetLabelsTitle}
            onClick={panel.run.forgetLabels}
          />
          <span class="muted" title={strings.newLabelsTitle}>
            {strings.newLabels(formatCount(relabeled.size))}
          </span>
        </>
      )}
    </div>
  );
}

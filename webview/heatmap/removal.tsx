import type { VNode } from 'preact';
import { memoryContext } from '../../extension/core/quality-labels';
import { explainNothingFreed, freeingNothing } from '../../extension/core/shared-weights';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { Section } from '../components/section';
import { formatBytes, formatCompact, formatCount, formatShare } from '../format';
import type { Frame } from './frame';
import type { SelectionTotals } from './selection';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';
import { tell } from '../translate';

interface RemovalProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
  readonly totals: SelectionTotals;
}

/** Numbers of what the selection removes. */
export function Removal({ panel, frame, totals }: RemovalProps): VNode {
  const { model, removed } = frame.selected;
  const { keepCache } = panel.get('cannot');
  const { shares } = totals;
  const nothing = explainNothingFreed(freeingNothing(model, removed));
  const experts = model.sublayers.reduce((sum, one) => sum + (one.experts?.count ?? 0), 0);
  return (
    <Section
      class="removal"
      id="removal-title"
      title={strings.removal}
      controls={
        totals.widthPruned > 0 && (
          <Button
            label={strings.keepWidths}
            title={strings.keepWidthsTitle}
            onClick={frame.run.keepWidths}
          />
        )
      }
    >
      {nothing !== undefined && <p class="muted">{tell(nothing)}</p>}
      <dl class="tiles">
        <Tile
          name={strings.sublayersRemoved}
          value={formatCount(totals.sublayers)}
          note={strings.ofTotal(formatCount(model.sublayers.length))}
        />
        {experts > 0 && (
          <Tile
            name={strings.expertsRemoved}
            value={formatCount(totals.experts)}
            note={strings.ofTotal(formatCount(experts))}
          />
        )}
        {totals.widthPruned > 0 && (
          <Tile
            name={strings.sublayersWidthPruned}
            value={formatCount(totals.widthPruned)}
            note={strings.ofTotal(formatCount(model.sublayers.length))}
          />
        )}
        <Tile
          name={strings.parametersSaved}
          value={formatCompact(totals.parameters)}
          note={formatShare(shares.parameters)}
        />
        <Tile
          name={strings.bytesSaved}
          value={formatBytes(totals.bytes)}
          note={formatShare(shares.bytes)}
        />
        {keepCache === undefined ? (
          <>
            <Tile
              name={strings.kvSaved}
              value={formatBytes(totals.kvBytesPerToken)}
              note={strings.perToken(formatShare(shares.kvBytesPerToken))}
            />
            <Tile
              name={strings.memorySaved}
              value={formatBytes(totals.memory)}
              note={strings.withContext(
                formatCount(memoryContext(model)),
                formatShare(shares.memory),
              )}
            />
          </>
        ) : (
          <Tile
            name={strings.kvSaved}
            value={strings.notYet}
            note={strings.noCache}
            reason={tell(keepCache)}
          />
        )}
      </dl>
    </Section>
  );
}

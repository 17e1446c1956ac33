import type { VNode } from 'preact';
import type { ConfigChange } from '../../../extension/protocol/heatmap';
import { Button } from '../../components/controls';
import { Facts } from '../../components/facts';
import { Section } from '../../components/section';
import { changedLines, splitHunks } from './config-hunks';
import type { Hunk } from './config-hunks';
import { strings } from '../strings';
import type { HeatmapPanel } from '../heatmap-panel';

interface ConfigProps {
  readonly panel: HeatmapPanel;
  readonly hasChanges: boolean;
}

/** Changes to config.json as a diff, and how to load the result. */
export function ConfigPreview({ panel, hasChanges }: ConfigProps): VNode {
  const { lines, loadsWith } = panel.get('configPreview');
  const isFile = /\.(?:gguf|onnx)$/i.test(panel.get('model').path);
  const { added, removed } = changedLines(lines);
  const isChanged = added + removed > 0;
  return (
    <Section
      class="config"
      id="config-title"
      title={isFile ? strings.header : strings.config}
      note={
        isChanged && (
          <span role="img" aria-label={strings.configCountsLabel(added, removed)}>
            {strings.configCounts(added, removed)}
          </span>
        )
      }
      controls={!isFile && <Button label={strings.openConfig} onClick={panel.run.openConfig} />}
    >
      {hasChanges && loadsWith !== '' && (
        <Facts facts={[{ name: strings.loadsWith, value: loadsWith }]} />
      )}
      {!hasChanges && !isChanged && <p class="muted">{strings.configSame}</p>}
      {lines.length > 0 && (
        <div class="diff" tabIndex={0} role="region" aria-label={strings.configLines}>
          {splitHunks(lines).map((hunk, index) => (
            <Lines key={index} hunk={hunk} />
          ))}
        </div>
      )}
    </Section>
  );
}

function Lines({ hunk: { kind, lines } }: { readonly hunk: Hunk }): VNode {
  const rows = lines.map((line, index) => <Line key={index} {...line} />);
  if (kind === 'lines') return <div class="hunk">{rows}</div>;
  return (
    <details class="hunk">
      <summary>{strings.unchangedLines(lines.length)}</summary>
      {rows}
    </details>
  );
}

const signs = { added: '+', removed: '−', same: ' ' } as const;

function Line({ line, change }: ConfigChange): VNode {
  return (
    <div class={`line ${change}`}>
      {change !== 'same' && (
        <span class="sr-only">
          {`${change === 'added' ? strings.lineAdded : strings.lineRemoved}: `}
        </span>
      )}
      <span class="sign" aria-hidden="true">
        {signs[change]}
      </span>
      <code>{line}</code>
    </div>
  );
}

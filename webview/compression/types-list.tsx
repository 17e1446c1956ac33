import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { formatChange, formatDuration } from '../../extension/core/format';
import type { OfferedType } from '../../extension/protocol/frontier';
import { byteStep } from '../charts/byte-step';
import { Button } from '../components/controls';
import { Section } from '../components/section';
import { Table } from '../components/table';
import { formatBytes } from '../format';
import { Frontier } from '../frontier/frontier';
import { typePoints } from '../frontier/frontier-points';
import { strings as frontier } from '../frontier/strings';
import { listed, tell } from '../translate';
import type { CompressionPanel } from './compression-panel';
import { strings } from './strings';

interface TypesProps {
  readonly panel: CompressionPanel;
  readonly types: readonly OfferedType[];
  /** False if another chart shows the types. */
  readonly hasChart: boolean;
}

/** Published and measured losses of types are KL divergences. */
const lossMetric = 'kl';
const titles = { x: strings.size, y: frontier.distance(lossMetric), y2: '' };

/** Types that a GGUF file can be written in, with size and loss. */
export function Types({ panel, types, hasChart }: TypesProps): VNode {
  const points = useMemo(() => typePoints(types, lossMetric, 0), [types]);
  const [first] = types;
  const bytes = first?.originalBytes ?? panel.get('model').bytes;
  return (
    <Section id="types-title" title={strings.types} note={strings.typesNote}>
      {first?.requantizes !== undefined && (
        <p class="muted">{strings.requantizes(first.requantizes)}</p>
      )}
      {hasChart && points.length > 0 && (
        <Frontier
          points={points}
          titles={titles}
          original={bytes}
          step={byteStep(bytes)}
          format={(size) => formatBytes(size, bytes)}
        />
      )}
      <div class="table-scroll wraps">
        <Table
          caption={strings.types}
          columns={[
            { title: strings.type },
            { title: strings.size, isNumber: true },
            { title: strings.sizeChange, isNumber: true },
            { title: strings.loss },
            { title: strings.time, isNumber: true },
            { title: strings.actions },
          ]}
          rows={types.map((one) => [
            one.mix === undefined ? one.size : tell(one.mix),
            `${one.mix === undefined ? '' : '≤ '}${formatBytes(one.bytes)}`,
            formatChange(bytes, one.bytes),
            <span key={one.size} class="wrap">
              {listed([lossText(one), ...(one.marks === undefined ? [] : [tell(one.marks)])])}
            </span>,
            formatDuration(one.seconds),
            <span key="write" class="nowrap">
              <Button
                label={strings.write}
                title={strings.writeTitle(one.size)}
                reason={one.isForbidden && one.marks !== undefined ? tell(one.marks) : undefined}
                onClick={() => {
                  panel.run.makeSmaller(one.size);
                }}
              />
            </span>,
          ])}
        />
      </div>
    </Section>
  );
}

function lossText({ loss, perplexityRatio }: OfferedType): string {
  return perplexityRatio === undefined
    ? tell(loss)
    : strings.perplexityMeasured(formatChange(1, perplexityRatio));
}

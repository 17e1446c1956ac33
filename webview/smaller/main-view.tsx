import type { VNode } from 'preact';
import { perplexityWord } from '../../extension/core/change-size';
import { formatChange, formatSpeed } from '../../extension/core/format';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { Section } from '../components/section';
import { Table } from '../components/table';
import { fileName } from '../file-name';
import { formatBytes, formatCount, formatDistance, formatPercent } from '../format';
import { tell } from '../translate';
import type { SmallerModel, SmallerPanel } from './smaller-panel';
import { strings } from './strings';

/** Report of a smaller model. */
export function Main({ panel }: { readonly panel: SmallerPanel }): VNode {
  const smaller = panel.get('smaller');
  const { path, runtime, sensitivity, requantized, evaluation, mix } = smaller;
  const isMeasured = sensitivity !== undefined;
  return (
    <div>
      <PageHeader
        title={fileName(path)}
        tooltip={path}
        tags={[strings.title, runtime]}
        actionsLabel={strings.actions}
        actions={
          <>
            <Button
              primary
              label={strings.tryIt}
              title={strings.tryItTitle}
              onClick={panel.run.tryIt}
            />
            <Button label={strings.reveal} title={strings.revealTitle} onClick={panel.run.reveal} />
            <Button
              label={strings.evenSmaller}
              title={strings.evenSmallerTitle}
              onClick={panel.run.evenSmaller}
            />
            <Button
              label={isMeasured ? strings.seeWhy : strings.compare}
              title={isMeasured ? strings.seeWhyTitle : strings.compareTitle}
              onClick={panel.run.seeWhy}
            />
          </>
        }
      >
        {requantized !== undefined && <Notice text={strings.requantized(requantized)} />}
        {evaluation === undefined && <Notice text={strings.notMeasured} />}
      </PageHeader>
      <Section
        id="result-title"
        title={strings.result}
        note={
          evaluation === undefined ? undefined : strings.measuredOn(formatCount(evaluation.tokens))
        }
      >
        <dl class="tiles">
          <Sizes smaller={smaller} />
          <Losses smaller={smaller} />
          <Speed smaller={smaller} />
        </dl>
        <p class="muted">{smaller.verified}</p>
      </Section>
      <Limits smaller={smaller} />
      <Commands panel={panel} smaller={smaller} />
      <Section
        id="types-title"
        title={strings.choices}
        note={
          mix === undefined
            ? undefined
            : strings.mix(
                formatCount(mix.measured),
                formatCount(mix.layers),
                formatDistance(mix.distance),
              )
        }
      >
        <Types smaller={smaller} />
      </Section>
    </div>
  );
}

interface PartProps {
  readonly smaller: SmallerModel;
}

function Sizes({ smaller: { bytesBefore, bytesAfter, memory } }: PartProps): VNode {
  return (
    <>
      <Tile
        name={strings.size}
        value={formatBytes(bytesAfter)}
        note={strings.sizeNote(formatBytes(bytesBefore), formatChange(bytesBefore, bytesAfter))}
      />
      <Tile
        name={strings.memory}
        value={formatBytes(memory.after)}
        note={strings.memoryNote(formatBytes(memory.before), formatCount(memory.context))}
      />
    </>
  );
}

function Losses({ smaller: { evaluation } }: PartProps): VNode | null {
  if (evaluation?.against === undefined) return null;
  const { against, perplexity, perplexityRatio: ratio, klDivergence, agreement } = evaluation;
  const word =
    ratio !== undefined && ratio.low <= 1 && ratio.high >= 1
      ? strings.noDifference
      : tell(perplexityWord(against.perplexity, perplexity));
  const between = (
    { low, high }: { readonly low: number; readonly high: number },
    format: (value: number) => string,
  ): string => strings.interval(format(low), format(high));
  return (
    <>
      <Tile
        name={strings.perplexity}
        value={formatChange(against.perplexity, perplexity)}
        note={[
          strings.perplexityNote(against.perplexity.toPrecision(4), perplexity.toPrecision(4)),
          ...(ratio === undefined ? [] : [between(ratio, (value) => formatChange(1, value))]),
          word,
        ].join(' · ')}
      />
      {klDivergence !== undefined && (
        <Tile
          name={strings.divergence}
          value={klDivergence.value.toPrecision(3)}
          note={`${strings.nats} · ${between(klDivergence, (value) => value.toPrecision(3))}`}
        />
      )}
      {agreement !== undefined && (
        <Tile
          name={strings.agreement}
          value={formatPercent(agreement.value)}
          note={between(agreement, formatPercent)}
        />
      )}
    </>
  );
}

/** Speed in llama.cpp, if it was timed there. */
function Speed({ smaller: { evaluation } }: PartProps): VNode | null {
  const after = evaluation?.llamaCpp;
  if (after === undefined) return null;
  const before = evaluation?.against?.llamaCpp;
  const speed = (key: 'prefillTokensPerSecond' | 'decodeTokensPerSecond'): string =>
    strings.speed(
      [...(before === undefined ? [] : [before[key]]), after[key]].map(formatSpeed).join(' → '),
    );
  const note = strings.speedNote(after.release, String(after.threads));
  return (
    <>
      <Tile name={strings.decode} value={speed('decodeTokensPerSecond')} note={note} />
      <Tile name={strings.prefill} value={speed('prefillTokensPerSecond')} note={note} />
    </>
  );
}

function Limits({ smaller: { verdict } }: PartProps): VNode | null {
  if (verdict === undefined) return null;
  return (
    <Section id="limits-title" title={strings.limits} note={strings.outcomes[verdict.outcome]}>
      <Table
        caption={strings.limits}
        columns={[
          { title: strings.limit },
          { title: strings.measured, isNumber: true },
          { title: strings.verdict },
        ]}
        rows={verdict.limits.map(({ limit, measured, outcome }) => [
          limit,
          measured === undefined ? '–' : measured.value.toFixed(1),
          strings.outcomes[outcome],
        ])}
      />
    </Section>
  );
}

function Commands({
  panel,
  smaller: { commands },
}: PartProps & { readonly panel: SmallerPanel }): VNode {
  return (
    <Section id="run-title" title={strings.run}>
      {commands.map(({ program, command }, i) => (
        <div key={program} class="command">
          <span class="muted">{program}</span>
          <code>{command}</code>
          <Button
            label={strings.copy}
            title={strings.copyTitle(program)}
            onClick={() => {
              panel.run.copy(i);
              panel.announce(strings.copied);
            }}
          />
        </div>
      ))}
    </Section>
  );
}

function Types({ smaller: { types } }: PartProps): VNode {
  const all = Object.values(types).reduce((sum, bytes) => sum + bytes, 0);
  return (
    <Table
      caption={strings.choices}
      columns={[
        { title: strings.type },
        { title: strings.bytes, isNumber: true },
        { title: strings.share, isNumber: true },
      ]}
      rows={Object.entries(types)
        .sort(([, a], [, b]) => b - a)
        .map(([type, bytes]) => [type, formatBytes(bytes), formatPercent(bytes / all)])}
    />
  );
}

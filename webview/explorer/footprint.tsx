import type { VNode } from 'preact';
import { Section } from '../components/section';
import { Table } from '../components/table';
import { formatBytes, formatCompact, formatCount } from '../format';
import { strings } from './strings';
import type { ModelDescription } from './types';

interface ModelProps {
  readonly model: ModelDescription;
}

/** Memory use of a model: weights, KV cache, and training. */
export function Footprint({ model }: ModelProps): VNode {
  return (
    <div class="tiles">
      <Memory model={model} />
      <Cache model={model} />
      <Tuning model={model} />
    </div>
  );
}

const size = { title: strings.size, isNumber: true };

function Memory({ model: { memory, totals } }: ModelProps): VNode {
  return (
    <Section id="memory-title" title={strings.memory}>
      <p class="muted">{strings.memoryNote}</p>
      <Table
        caption={strings.memoryCaption}
        columns={[{ title: strings.typeColumn }, size]}
        rows={[
          [strings.stored, formatBytes(totals.bytes)],
          ...memory.map(({ dtype, bytes }) => [dtype, formatBytes(bytes)]),
        ]}
      />
    </Section>
  );
}

function Cache({ model: { cache, facts } }: ModelProps): VNode {
  const { contextLength } = facts;
  const context = contextLength === undefined ? undefined : formatCount(contextLength);
  const lengths = contextLength === undefined ? [] : [contextLength];
  return (
    <Section id="cache-title" title={strings.cache}>
      <p class="muted">{cache.length === 0 ? strings.noCache : strings.cacheNote(context)}</p>
      {cache.length > 0 && (
        <Table
          caption={strings.cacheCaption}
          columns={[
            { title: strings.typeColumn },
            { title: strings.perThousand, isNumber: true },
            ...lengths.map(() => ({ title: strings.fullContext, isNumber: true })),
          ]}
          rows={cache.map(({ dtype, bytesPerThousandTokens: bytes }) => [
            dtype,
            formatBytes(bytes),
            ...lengths.map((length) => formatBytes((bytes * length) / 1000)),
          ])}
        />
      )}
    </Section>
  );
}

function Tuning({ model: { tuning, totals } }: ModelProps): VNode {
  const { fullBytes, lora } = tuning;
  const full = formatCompact(totals.parameters);
  return (
    <Section id="tuning-title" title={strings.tuning}>
      <p class="muted">{strings.tuningNote}</p>
      <Table
        caption={strings.tuningCaption}
        columns={[
          { title: strings.method },
          { title: strings.trained, isNumber: true },
          { title: strings.frozen16, isNumber: true },
          { title: strings.frozen4, isNumber: true },
        ]}
        rows={[
          [strings.fullTuning, full, formatBytes(fullBytes), strings.unknown],
          ...lora.map(({ rank, parameters, bytes, quantizedBytes }) => [
            strings.lora(rank),
            formatCompact(parameters),
            formatBytes(bytes),
            formatBytes(quantizedBytes),
          ]),
        ]}
      />
    </Section>
  );
}

import { h } from '../dom';
import { formatBytes, formatCompact, formatCount } from '../format';
import { section, simpleTable } from '../simple-table';
import { strings } from './strings';
import type { ModelDescription } from './types';

/** What a model takes in memory: its weights, its cache, and to train it. */
export function footprintSections(model: ModelDescription): HTMLElement[] {
  return [memory(model), cache(model), tuning(model)];
}

function memory({ memory: rows, totals }: ModelDescription): HTMLElement {
  return section(
    'memory-title',
    strings.memory,
    h('p', { class: 'muted' }, strings.memoryNote),
    simpleTable(
      strings.memoryCaption,
      [{ title: strings.typeColumn }, { title: strings.size, isNumber: true }],
      [
        [strings.stored, formatBytes(totals.bytes)],
        ...rows.map(({ dtype, bytes }) => [dtype, formatBytes(bytes)]),
      ],
    ),
  );
}

function cache({ cache: rows, facts }: ModelDescription): HTMLElement {
  const { contextLength } = facts;
  const context = contextLength === undefined ? undefined : formatCount(contextLength);
  if (rows.length === 0) {
    return section('cache-title', strings.cache, h('p', { class: 'muted' }, strings.noCache));
  }
  const isFull = contextLength === undefined ? [] : [contextLength];
  return section(
    'cache-title',
    strings.cache,
    h('p', { class: 'muted' }, strings.cacheNote(context)),
    simpleTable(
      strings.cacheCaption,
      [
        { title: strings.typeColumn },
        { title: strings.perThousand, isNumber: true },
        ...isFull.map(() => ({ title: strings.fullContext, isNumber: true })),
      ],
      rows.map(({ dtype, bytesPerThousandTokens: bytes }) => [
        dtype,
        formatBytes(bytes),
        ...isFull.map((length) => formatBytes((bytes * length) / 1000)),
      ]),
    ),
  );
}

function tuning({ tuning: { fullBytes, lora }, totals }: ModelDescription): HTMLElement {
  return section(
    'tuning-title',
    strings.tuning,
    h('p', { class: 'muted' }, strings.tuningNote),
    simpleTable(
      strings.tuningCaption,
      [
        { title: strings.method },
        { title: strings.trained, isNumber: true },
        { title: strings.frozen16, isNumber: true },
        { title: strings.frozen4, isNumber: true },
      ],
      [
        [
          strings.fullTuning,
          formatCompact(totals.parameters),
          formatBytes(fullBytes),
          strings.unknown,
        ],
        ...lora.map(({ rank, parameters, bytes, quantizedBytes }) => [
          strings.lora(rank),
          formatCompact(parameters),
          formatBytes(bytes),
          formatBytes(quantizedBytes),
        ]),
      ],
    ),
  );
}

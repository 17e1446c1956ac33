import type { VNode } from 'preact';
import { issueKinds, similarities } from '../../extension/protocol/datamap';
import { Checkbox, Dropdown, TextField } from '../components/controls';
import { Slider } from '../components/slider';
import { formatCount } from '../format';
import { listOrders } from './gallery-query';
import type { Region } from './gallery-query';
import { strings } from './strings';
import type { Overview } from './types';
import type { ShownQuery } from './view-state';

interface FiltersProps {
  readonly query: ShownQuery;
  readonly overview: Overview;
  readonly region: Region | undefined;
  readonly similarity: number;
  readonly onChange: (change: Partial<ShownQuery>) => void;
  readonly onSimilarity: (similarity: number) => void;
  readonly onLeaveRegion: () => void;
}

const every = 'every';

/** Order and filters of the examples; those that were set elsewhere can be removed. */
export function Filters(props: FiltersProps): VNode {
  const { query, overview, similarity, onChange, onSimilarity } = props;
  const names = overview.classes.map(({ name }, i) => ({ value: String(i), label: name }));
  const kinds = issueKinds.filter((kind) => overview.issues[kind] !== undefined);
  const isAboutDuplicates = query.issue === 'duplicates' || query.order === 'duplicates';
  return (
    <div class="filters">
      <div class="controls">
        <Dropdown
          label={strings.order}
          options={listOrders(overview).map((value) => ({
            value,
            label: strings.orderName[value],
          }))}
          value={query.order}
          onChange={(order) => {
            onChange({ order, similarTo: undefined });
          }}
        />
        {names.length > 0 && (
          <Dropdown
            label={strings.classFilter}
            options={[{ value: every, label: strings.everyClass }, ...names]}
            value={query.label === undefined ? every : String(query.label)}
            onChange={(value) => {
              onChange({ label: value === every ? undefined : Number(value) });
            }}
          />
        )}
        {kinds.length > 0 && (
          <Dropdown
            label={strings.issueFilter}
            options={[
              { value: every, label: strings.anyIssue },
              ...kinds.map((value) => ({ value, label: strings.issueName[value] })),
            ]}
            value={query.issue ?? every}
            onChange={(value) => {
              const issue = value === every ? undefined : value;
              const order = issue === 'duplicates' ? { order: 'duplicates' as const } : {};
              onChange({ issue, ...order });
            }}
          />
        )}
        <TextField
          class="search"
          label={strings.search}
          value={query.search}
          onInput={(search) => {
            onChange({ search });
          }}
        />
        <Checkbox
          label={strings.markedOnly}
          checked={query.marked}
          onChange={(marked) => {
            onChange({ marked });
          }}
        />
        {names.length > 0 && (
          <Checkbox
            label={strings.relabeledOnly}
            checked={query.relabeled}
            onChange={(relabeled) => {
              onChange({ relabeled });
            }}
          />
        )}
      </div>
      {isAboutDuplicates && (
        <Slider
          id="similarity"
          label={strings.similarity}
          value={Math.round(similarity / similarities.step)}
          least={Math.round(similarities.least / similarities.step)}
          most={Math.round(similarities.most / similarities.step)}
          text={similarity.toFixed(3)}
          onInput={(steps) => {
            onSimilarity(Number((steps * similarities.step).toFixed(3)));
          }}
        />
      )}
      <Chips {...props} />
    </div>
  );
}

/** Filters that were set on the map, on a card or in the table of classes. */
function Chips({ query, overview, region, onChange, onLeaveRegion }: FiltersProps): VNode | null {
  const { predicted, similarTo } = query;
  const chips = [
    ...(region === undefined ? [] : [{ name: strings.inRegion, remove: onLeaveRegion }]),
    ...(predicted === undefined
      ? []
      : [
          {
            name: strings.predictedAs(overview.classes[predicted]?.name ?? ''),
            remove: () => {
              onChange({ predicted: undefined });
            },
          },
        ]),
    ...(similarTo === undefined
      ? []
      : [
          {
            name: strings.similarTo(strings.exampleName(formatCount(similarTo), undefined)),
            remove: () => {
              onChange({ similarTo: undefined });
            },
          },
        ]),
  ];
  return chips.length === 0 ? null : (
    <ul class="chips" aria-label={strings.filters}>
      {chips.map(({ name, remove }) => (
        <li key={name}>
          <button type="button" aria-label={strings.removeFilter(name)} onClick={remove}>
            {name} <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

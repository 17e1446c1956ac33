import type { VNode } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { formatCount, formatDistance, formatPercent } from '../format';
import { useAnswer } from '../kit/use-answer';
import { Badges } from './example-card';
import { ContentOf, scoreText } from './example-content';
import { strings } from './strings';
import type { DataMapPanel, Details as ExampleDetails } from './types';

interface DetailsProps {
  readonly panel: DataMapPanel;
  readonly index: number;
  /** Shows the details of another example. */
  readonly onGo: (index: number) => void;
  /** Shows all examples by their similarity to one. */
  readonly onSimilar: (index: number) => void;
  readonly onClose: () => void;
}

/** All that is known of one example, over the panel. */
export function Details({ panel, index, onGo, onSimilar, onClose }: DetailsProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const { similarity } = panel.view.value;
  const data = panel.get('data');
  // Content is available only with the dataset.
  const asked = useMemo(() => ({ index, similarity }), [index, similarity, data]);
  const { ok: details, error } =
    useAnswer(async (one: typeof asked) => panel.call.details(one.index, one.similarity), asked) ??
    {};
  return (
    <dialog ref={dialog} class="details" aria-labelledby="details-title" onClose={onClose}>
      <div class="section-head">
        <h2 id="details-title">{strings.point(formatCount(index))}</h2>
        {details !== undefined && <Badges example={details} />}
        <div class="controls">
          <Button
            label={strings.close}
            onClick={() => {
              dialog.current?.close();
            }}
          />
        </div>
      </div>
      {error !== undefined && (
        <p role="alert" data-failed="">
          {error}
        </p>
      )}
      {details !== undefined && (
        <>
          <div class="details-content">
            <ContentOf example={details} isOpening={data === undefined} />
          </div>
          <Facts facts={listFacts(details)} />
          <Neighbors
            details={details}
            onGo={onGo}
            onSimilar={(to) => {
              // The focus returns to the page.
              dialog.current?.close();
              onSimilar(to);
            }}
          />
        </>
      )}
    </dialog>
  );
}

function listFacts(details: ExampleDetails): Fact[] {
  const { label, predicted, suspected, labelScore, dynamics, outlierScore, place } = details;
  const known = (name: string, value: string | undefined, title?: string): Fact[] =>
    value === undefined ? [] : [{ name, value, ...(title === undefined ? {} : { title }) }];
  return [
    ...known(strings.filePlace, place),
    ...known(strings.given, label),
    ...known(suspected ? strings.suggested : strings.predicted, predicted),
    ...known(strings.score, scoreText(details)),
    ...known(
      strings.labelScore,
      labelScore === undefined ? undefined : formatPercent(labelScore),
      strings.labelScoreTitle,
    ),
    ...(dynamics === undefined
      ? []
      : [
          ...known(strings.confidence, formatDistance(dynamics.confidence)),
          ...known(strings.variability, formatDistance(dynamics.variability)),
          ...known(strings.correctnessName, formatPercent(dynamics.correctness)),
        ]),
    ...known(
      strings.outlierScore,
      outlierScore === undefined ? undefined : formatDistance(outlierScore),
      strings.outlierScoreTitle,
    ),
  ];
}

interface NeighborsProps {
  readonly details: ExampleDetails;
  readonly onGo: (index: number) => void;
  readonly onSimilar: (index: number) => void;
}

function Neighbors({
  details: { index, neighbors },
  onGo,
  onSimilar,
}: NeighborsProps): VNode | null {
  return neighbors.length === 0 ? null : (
    <>
      <h3>{strings.neighbors}</h3>
      <ul class="neighbors">
        {neighbors.map((near) => (
          <li key={near.index}>
            <button
              type="button"
              class="link"
              onClick={() => {
                onGo(near.index);
              }}
            >
              {strings.point(formatCount(near.index))}
            </button>{' '}
            <span class="muted">{strings.neighborValue(near.similarity.toFixed(3))}</span>
          </li>
        ))}
      </ul>
      <Button
        label={strings.showSimilar}
        onClick={() => {
          onSimilar(index);
        }}
      />
    </>
  );
}

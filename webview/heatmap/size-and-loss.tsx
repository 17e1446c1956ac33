import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { byteStep } from '../charts/byte-step';
import { formatBytes, formatCount, formatShare } from '../format';
import { Frontier } from '../frontier/frontier';
import { prunedPoints, typePoints } from '../frontier/frontier-points';
import { strings as frontier } from '../frontier/strings';
import { listed } from '../translate';
import { buildCurves, isZeroAtOriginal } from './curves/curves';
import type { Frame } from './frame';
import type { HeatmapPanel } from './heatmap-panel';
import { strings } from './strings';

interface SizeAndLossProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
  /** Bytes of the selected model. */
  readonly left: number;
}

/** Sizes that pruning, quantization and plans reach, with the selection as the rule once sublayers are ranked. */
export function SizeAndLoss({ panel, frame, left }: SizeAndLossProps): VNode | null {
  const { selected, selectRounds } = frame;
  const { profile, model, slider, selectedRounds } = selected;
  const [types, plans] = [panel.get('types'), panel.get('plans')];
  // Without a profile any metric will do.
  const metric = profile?.settings.metric ?? 'kl';
  const pruned = useMemo(
    () =>
      profile === undefined
        ? []
        : buildCurves(profile, model, 'bytes')
            .greedy.filter(({ rounds }) => rounds > 0)
            .map(({ rounds, x, y }) => ({ rounds, bytes: model.bytes - x, distance: y })),
    [profile, model],
  );
  const points = useMemo(() => {
    // Other metrics have no loss without the original's value.
    const isComparable = profile === undefined || isZeroAtOriginal(profile);
    return [
      ...prunedPoints(pruned, 0),
      ...(isComparable ? typePoints(types, metric, 0) : []),
      ...(isComparable && plans?.metric === metric
        ? plans.points.map(({ cost: size, share, sumOfDistances: loss }) => ({
            ...{ kind: 'plan' as const, name: formatShare(share), size, loss },
            ...{ isMeasured: false, note: '' },
          }))
        : []),
    ];
  }, [pruned, types, plans, metric, profile]);
  const titles = useMemo(
    () => ({ x: strings.size, y: frontier.distance(metric), y2: '' }),
    [metric],
  );
  if (points.length === 0) return null;
  const format = (size: number): string => formatBytes(size, model.bytes);
  const chosen = pruned.find(({ rounds }) => rounds === selectedRounds);
  return (
    <Frontier
      points={points}
      titles={titles}
      ring={chosen && { size: chosen.bytes, loss: chosen.distance }}
      rule={
        pruned.length === 0
          ? undefined
          : {
              label: strings.selectedSize,
              stops: [model.bytes, ...pruned.map(({ bytes }) => bytes)],
              stop: Math.min(slider, pruned.length),
              size: left,
              text: listed([
                format(left),
                strings.roundsValue(formatCount(slider), formatCount(pruned.length)),
              ]),
              onMove: selectRounds,
            }
      }
      original={model.bytes}
      step={byteStep(model.bytes)}
      format={format}
    />
  );
}

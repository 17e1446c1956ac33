import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { formatDistance } from '../../format';
import { strings } from '../strings';
import type { Curves } from './curves';
import { joinSentences } from '../../translate';

/** The chart in words, for those who do not see it. */
export function curveSummary(
  { selectedRounds }: Pick<HeatmapState, 'selectedRounds'>,
  curves: Curves,
  formatX: (value: number) => string,
): string {
  const steps = curves.greedy.filter((point) => point.rounds > 0);
  const first = steps[0];
  const last = steps.at(-1);
  if (first === undefined || last === undefined) return strings.curveWaiting;
  const sentences = [
    strings.curveSummary(
      steps.length,
      formatDistance(first.y),
      formatDistance(last.y),
      formatX(last.x),
    ),
  ];
  for (const { name, points } of curves.baselines) {
    const end = points.at(-1);
    if (end !== undefined) {
      sentences.push(strings.curveSummaryBaseline(strings.baseline(name), formatDistance(end.y)));
    }
  }
  const [from, to] = [curves.perplexity[0], curves.perplexity.at(-1)];
  if (from !== undefined && to !== undefined && from !== to) {
    sentences.push(strings.curveSummaryPerplexity(formatDistance(from.y), formatDistance(to.y)));
  }
  if (selectedRounds !== undefined) sentences.push(strings.curveSummarySelection(selectedRounds));
  return joinSentences(sentences);
}

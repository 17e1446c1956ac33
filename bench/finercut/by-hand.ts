// Changes rounds of a search as a user does by hand, and prints how far the expected distances are from the true ones:
//     node by-hand.cjs PROFILE CALIBRATION-TEXT CHOICES
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { loadCalibration } from '../../extension/core/data/calibration';
import { seededRandom } from '../../extension/core/data/random';
import { openModel } from '../../extension/core/models/open-model';
import { parseLayerProfile } from '../../extension/core/prune/layer-profile-schema';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { ChangeScorer } from '../../extension/core/tensornet/sensitivity/change-scorer';
import { expectedDistance } from '../../webview/heatmap/curves/expected-distance';

/** Edits of a round's removals, or of none: how many are undone and how many are added. */
const changes = [
  { change: 'two, of no round', back: 0, more: 2, isFree: true },
  { change: 'three, of no round', back: 0, more: 3, isFree: true },
  { change: 'five, of no round', back: 0, more: 5, isFree: true },
  { change: 'one exchanged', back: 1, more: 1 },
  { change: 'two exchanged', back: 2, more: 2 },
  { change: 'three exchanged', back: 3, more: 3 },
  { change: 'one more', back: 0, more: 1 },
  { change: 'two more', back: 0, more: 2 },
  { change: 'three more', back: 0, more: 3 },
  { change: 'two taken back', back: 2, more: 0 },
  { change: 'three taken back', back: 3, more: 0 },
];
/**
 * Number of remaining sublayers with the lowest cost from which edits choose: users don't remove
 * what is shown as expensive.
 */
const tempting = 12;
const memoryBytes = 2 ** 32;

async function main([file = '', text = '', choices = '']: readonly string[]): Promise<void> {
  const profile = parseLayerProfile(await readFile(file, 'utf8'), file);
  const model = await openModel(profile.model.path);
  const { sequences } = await loadCalibration({ sequences: 1, length: 64 }, model, text);
  const executor = new LayeredExecutor(model, 'cpu', memoryBytes);
  const scorer = (removed: ReadonlySet<number>): ChangeScorer =>
    new ChangeScorer({
      ...{ executor, inputs: sequences, metric: 'js', removed },
      cancellation: { isCancellationRequested: false },
      onWork: () => undefined,
    });
  const reference = await scorer(new Set()).start();
  const trueDistance = async (removed: readonly string[]): Promise<number> => {
    const pruned = scorer(new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? [])));
    return pruned.distance(await pruned.start(reference));
  };
  const candidates = Object.fromEntries(profile.candidates.map((one) => [one.sublayer, one]));
  const alone = (id: string): number => candidates[id]?.distance ?? Number.NaN;
  const order = profile.rounds.map(({ removed }) => removed);
  const random = seededRandom(0);
  const pick = (ids: readonly string[], count: number): string[] => {
    const left = [...ids];
    return Array.from({ length: count }, () =>
      left.splice(Math.floor(random() * left.length), 1),
    ).flat();
  };
  const rows = [];
  for (const { change, back, more, isFree = false } of changes) {
    const expected: number[] = [];
    const sums: number[] = [];
    const starts = order.flatMap((_, round) => (round % 2 === 1 ? [round + 1] : []));
    for (const rounds of isFree ? starts.map(() => 0) : starts) {
      const removedIds = order.slice(0, rounds);
      const left = Object.keys(candidates).filter((id) => !removedIds.includes(id));
      const next = left.sort((a, b) => alone(a) - alone(b)).slice(0, tempting);
      for (let choice = 0; choice < Number(choices) && (isFree || back < rounds); choice++) {
        const returned = pick(removedIds, back);
        const removed = [...removedIds.filter((id) => !returned.includes(id)), ...pick(next, more)];
        const truth = await trueDistance(removed);
        const known = { model: profile.model, profile, removed, widthPruned: {}, candidates };
        expected.push(Math.log((expectedDistance(known) ?? Number.NaN) / truth));
        sums.push(Math.log(removed.reduce((sum, id) => sum + alone(id), 0) / truth));
      }
    }
    rows.push({ change, count: sums.length, expected: spread(expected), sum: spread(sums) });
  }
  console.log(JSON.stringify(rows));
}

function spread(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

void main(process.argv.slice(2));

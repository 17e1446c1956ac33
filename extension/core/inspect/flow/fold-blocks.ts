import { say } from '../../message';
import { isGroup } from './flow-document';
import type { FlowGroup, FlowItem } from './flow-document';

/** Block with the properties that distinguish its structure. */
export interface Foldable {
  readonly group: FlowGroup;
  /** Equal for blocks of equal structure: operations, shapes and how they are joined. */
  readonly signature: string;
}

/** Longest pattern of unequal runs that is looked for. */
const longestPeriod = 8;

/**
 * Folds consecutive blocks of equal structure into runs, and repeated patterns of runs, such as five blocks with
 * sliding windows and one without, into runs of patterns.
 */
export function foldBlocks(blocks: readonly Foldable[]): FlowItem[] {
  const runs: Foldable[] = [];
  for (let at = 0; at < blocks.length;) {
    const { signature } = blocks[at] ?? lost();
    let end = at + 1;
    while (blocks[end]?.signature === signature) {
      end++;
    }
    const members = blocks.slice(at, end);
    runs.push({ group: makeRun(members, 1), signature: `${members.length} × ${signature}` });
    at = end;
  }
  const folded: FlowItem[] = [];
  for (let at = 0; at < runs.length;) {
    const { period, times } = longestPattern(runs, at);
    const members = runs.slice(at, at + period * times);
    folded.push(...(times > 1 ? [makeRun(members, period)] : members.map(({ group }) => group)));
    at += period * times;
  }
  return folded;
}

/**
 * Items with their blocks folded. Other items end a run of blocks.
 * @param signature see {@link Foldable}
 * @param endsRun true for a block that the next one is not folded with
 */
export function foldItems(
  items: readonly FlowItem[],
  signature: (block: FlowGroup) => string,
  endsRun: (block: FlowGroup) => boolean = () => false,
): FlowItem[] {
  const folded: FlowItem[] = [];
  let run: Foldable[] = [];
  const close = (): void => {
    folded.push(...foldBlocks(run));
    run = [];
  };
  for (const item of items) {
    if (isGroup(item) && item.kind === 'block') {
      run.push({ group: item, signature: signature(item) });
      if (endsRun(item)) {
        close();
      }
    } else {
      close();
      folded.push(item);
    }
  }
  close();
  return folded;
}

/** Pattern that covers most runs from `at` on; a single run if none repeats. */
function longestPattern(runs: readonly Foldable[], at: number): { period: number; times: number } {
  let best = { period: 1, times: 1 };
  for (let period = 2; period <= longestPeriod && at + 2 * period <= runs.length; period++) {
    let same = 0;
    while (
      at + period + same < runs.length &&
      runs[at + same]?.signature === runs[at + period + same]?.signature
    ) {
      same++;
    }
    const times = 1 + Math.floor(same / period);
    if (times > 1 && period * times > best.period * best.times) {
      best = { period, times };
    }
  }
  return best;
}

function makeRun(members: readonly Foldable[], shown: number): FlowGroup {
  const groups = members.map(({ group }) => group);
  const [first = lost()] = groups;
  const [only] = groups.length === 1 ? groups : [];
  if (only !== undefined) {
    return only;
  }
  const [from, to] = [blockNumbers(first)[0], blockNumbers(groups.at(-1) ?? first).at(-1)];
  return {
    id: `run:${first.id}+${groups.length}`,
    kind: 'run',
    label: say`Blocks ${from ?? '?'} to ${to ?? '?'}`,
    shown,
    children: groups,
  };
}

/** Block numbers in a group. */
function blockNumbers(group: FlowGroup): string[] {
  return group.kind === 'block'
    ? [group.id.split('.').at(-1) ?? '']
    : group.children.filter(isGroup).flatMap(blockNumbers);
}

function lost(): never {
  throw new RangeError('no block');
}

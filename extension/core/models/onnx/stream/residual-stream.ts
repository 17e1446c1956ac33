import { findChain, ownNodes } from './parallel-terms';
import { findCandidates } from './residual-candidates';
import type { Candidate } from './residual-candidates';
import { quantizedRest } from '../graph-index';
import type { GraphIndex, GraphNode } from '../graph-index';

/** A removable branch: sum = start + Σ f(source). `end` is the sum after its norm, if it has one. */
export interface ResidualBranch {
  /** Stream before the branch. */
  readonly start: string;
  /** Value that `start` replaces when the branch is removed: LN(x + f(x)) becomes LN(x). */
  readonly sum: string;
  /** Stream after the branch: the sum, or the output of a norm that stays. */
  readonly end: string;
  /** Replacement of a quantized sum: the start in the scale of the sum. */
  readonly rest?: string | undefined;
  /**
   * Input of the branch: the start. For a branch parallel to an earlier one, it is the start of the
   * earlier one.
   */
  readonly source: string;
  /** Values added to the stream; several if branches can't be separated. */
  readonly terms: readonly string[];
  /** Nodes on paths from `source` through the terms, without nodes shared by parallel branches. */
  readonly nodes: ReadonlySet<GraphNode>;
  /** True if the next branch starts at the end of this one. */
  readonly joined: boolean;
}

/**
 * Finds residual branches in model order. A stream follows those that it reads, as a decoder follows its
 * encoder. Names aren't used.
 */
export function findResidualBranches(
  index: GraphIndex,
  candidates: readonly Candidate[] = findCandidates(index),
): ResidualBranch[] {
  const next = followers(index, candidates);
  const ordered = sortCandidates(index, groupStreams(candidates, next));
  return ordered.flatMap((candidate, i) => {
    const follower = next.get(candidate);
    const end = follower?.start ?? lastEnd(index, candidate, ordered[i - 1]);
    const isLast = i === ordered.length - 1;
    const joined = isLast || (follower !== undefined && follower === ordered[i + 1]);
    const hasNorm = connect(index, candidate.sum, end)?.some((op) => normalizing.test(op)) === true;
    return splitBranches(candidate, hasNorm ? candidate.sum : end, end, joined, index);
  });
}

/** End of a stream: the output of the same norm, if any, as before its last branch. */
function lastEnd(index: GraphIndex, { sum, start }: Candidate, before?: Candidate): string {
  const pattern = before && connect(index, before.sum, start);
  return (pattern && follow(index, sum, pattern)) ?? sum;
}

/** Returns one branch, or one per parallel term. */
function splitBranches(
  candidate: Candidate,
  sum: string,
  end: string,
  joined: boolean,
  index: GraphIndex,
): ResidualBranch[] {
  const { start, terms, nodes } = candidate;
  const chain = terms.length > 1 ? findChain(candidate, index) : undefined;
  if (chain === undefined) {
    const rest = quantizedRest(candidate.add, start);
    return [{ start, sum, end, rest, source: start, terms, nodes, joined }];
  }
  const sums = chain.adds.map(({ outputs: [output = ''] }) => output);
  return chain.terms.map(({ value }, i) => {
    const isLast = i === sums.length - 1;
    return {
      start: i === 0 ? start : (sums[i - 1] ?? ''),
      sum: isLast ? sum : (sums[i] ?? ''),
      end: isLast ? end : (sums[i] ?? ''),
      source: start,
      terms: [value],
      nodes: ownNodes(candidate, value, index),
      joined: joined || !isLast,
    };
  });
}

/** Next candidate of each: it starts at the end of the other, directly or after a norm. */
function followers(
  index: GraphIndex,
  candidates: readonly Candidate[],
): ReadonlyMap<Candidate, Candidate> {
  const byStart = new Map<string, Candidate>();
  for (const candidate of candidates) {
    if (!byStart.has(candidate.start)) {
      byStart.set(candidate.start, candidate);
    }
  }
  const taken = new Set<Candidate>();
  const found = new Map<Candidate, Candidate>();
  for (const candidate of candidates) {
    const follower =
      byStart.get(candidate.sum) ??
      [...lightly(index, candidate.sum)]
        .flatMap((value) => byStart.get(value) ?? [])
        .find(({ start }) => connect(index, candidate.sum, start) !== undefined);
    if (follower !== undefined && !taken.has(follower)) {
      taken.add(follower);
      found.set(candidate, follower);
    }
  }
  return found;
}

/** Values computed from `sum` with the operators of a norm. */
function lightly(index: GraphIndex, sum: string): Set<string> {
  const found = new Set([sum]);
  for (const value of found) {
    for (const { op, outputs } of index.consumersOf(value)) {
      if (light.test(op) && found.size < longestNorm) {
        outputs.forEach((output) => found.add(output));
      }
    }
  }
  return found;
}

/** Lists of consecutive candidates. */
function groupStreams(
  candidates: readonly Candidate[],
  next: ReadonlyMap<Candidate, Candidate>,
): Candidate[][] {
  const inner = new Set(next.values());
  return candidates
    .filter((candidate) => !inner.has(candidate))
    .map((head) => {
      const stream = [head];
      for (let one = next.get(head); one !== undefined; one = next.get(one)) {
        stream.push(one);
      }
      return stream;
    });
}

/** Sorts all candidates so that streams follow those that they read. Sorts by adds if two streams read each other. */
function sortCandidates(
  index: GraphIndex,
  streams: readonly (readonly Candidate[])[],
): Candidate[] {
  const byAdds = (): Candidate[] => streams.flat().sort((a, b) => a.add.order - b.add.order);
  if (streams.length > maxStreams) {
    return byAdds();
  }
  const readers = streams.map((stream) => index.descendants(stream.map(({ sum }) => sum)));
  const sources = streams.map((stream, i) =>
    [...streams.keys()].filter((j) => j !== i && stream.some(({ add }) => readers[j]?.has(add))),
  );
  const done = new Set<number>();
  while (done.size < streams.length) {
    const ready = sources.findIndex((all, i) => !done.has(i) && all.every((j) => done.has(j)));
    if (ready < 0) {
      return byAdds();
    }
    done.add(ready);
  }
  return [...done].flatMap((i) => streams[i] ?? []);
}

/** Operators of norms, and of what keeps half precision in its range. */
const light =
  /^(?:Relu|LayerNormalization|SimplifiedLayerNormalization|RMSNormalization|BatchNormalization|Pow|ReduceMean|Sub|Div|Sqrt|Reciprocal|Mul|Add|Cast|Identity|Clip|Min|Max|Where|Neg|IsInf|ReduceMax|ReduceSum|Greater|Equal|Not)$/;
/** Operators that a norm must have. Others only clamp to the range of float16. */
const normalizing = /Normalization$|^ReduceMean$/;
/** More streams are not put in order: each is compared with each. */
const maxStreams = 256;
/** Maximum number of values in a norm. */
const longestNorm = 48;

/** Operators of the norm between a sum and the next start, if there is only a norm between. */
function connect(index: GraphIndex, sum: string, start: string): string[] | undefined {
  const nodes = index.between(sum, start);
  const closed = [...nodes].every(({ outputs }) =>
    outputs.every(
      (output) =>
        output === start || index.consumersOf(output).every((reader) => nodes.has(reader)),
    ),
  );
  const all = index.consumersOf(sum).every((reader) => nodes.has(reader));
  const ops = [...nodes].map(({ op }) => op).sort();
  return nodes.size > 0 && all && closed && ops.every((op) => light.test(op)) ? ops : undefined;
}

/** Output of the same operators as `pattern` after the last sum. */
function follow(index: GraphIndex, sum: string, pattern: readonly string[]): string | undefined {
  const known = new Set([sum]);
  const nodes = [...index.descendants([sum])].sort((a, b) => a.order - b.order);
  const taken: GraphNode[] = [];
  for (const node of nodes) {
    if (node.inputs.every((input) => known.has(input) || index.constants.has(input))) {
      taken.push(node);
      node.outputs.forEach((output) => known.add(output));
    }
    if (taken.length === pattern.length) {
      break;
    }
  }
  const [end] = taken.at(-1)?.outputs ?? [];
  const ops = taken.map(({ op }) => op).sort();
  return end !== undefined &&
    ops.join() === pattern.join() &&
    connect(index, sum, end) !== undefined
    ? end
    : undefined;
}

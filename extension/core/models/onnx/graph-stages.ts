import { isShape } from './graph-index';
import type { GraphIndex, GraphNode } from './graph-index';
import type { ResidualBranch } from './stream/residual-stream';

/** Nodes that compute some values, and their inputs from outside. */
export interface Cut {
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  /** Values of the state. */
  readonly state: ReadonlySet<string>;
  /** Values that do not depend on the stream. */
  readonly side: ReadonlySet<string>;
  /** Initializers. */
  readonly weights: ReadonlySet<string>;
}

/** A graph cut at its residual stream; n is the number of branches. */
export interface CutGraph {
  readonly prologue: Cut;
  /** Ways over each branch. */
  readonly over: readonly Cut[];
  /** Parts that run if the branch is skipped. */
  readonly around: readonly Cut[];
  readonly epilogue: Cut;
  /** State values before each branch, and finally before the epilogue. */
  readonly states: readonly ReadonlySet<string>[];
  /** All values of the prologue, and inputs, that the other parts need. */
  readonly side: ReadonlySet<string>;
}

/**
 * Cuts a graph at its residual stream. Every node has a stage: 0 if it doesn't depend on the
 * stream, 2i + 1 in branch i, 2i + 2 after it. Part i computes the values that later parts need of
 * stages up to 2i + 2; what they need of earlier stages is the state. Constants are computed again
 * in each part, and so are shapes, of the values in the state.
 */
export function cutGraph(
  index: GraphIndex,
  branches: readonly ResidualBranch[],
  output: string,
): CutGraph {
  const stages = new GraphStages(index, branches);
  const count = branches.length;
  const epilogue = stages.collect([output], 2 * count);
  const over: Cut[] = [];
  const around: Cut[] = [];
  const states: Set<string>[] = [new Set(epilogue.state)];
  for (const [i, { start, sum, rest }] of [...branches.entries()].reverse()) {
    const wanted = [...(states[0] ?? [])];
    const made = wanted.filter((value) => stages.of(value) > 2 * i);
    const aliases = new Map([[sum, rest ?? start]]);
    const run = stages.collect(made, 2 * i);
    const left = made.filter((value) => value !== sum);
    const skip = stages.collect(rest === undefined ? left : [...left, rest], 2 * i, aliases);
    const passed = wanted.filter((value) => stages.of(value) <= 2 * i);
    over.unshift(run);
    around.unshift(skip);
    states.unshift(new Set([...passed, ...run.state, ...skip.state]));
  }
  const parts = [...over, ...around, epilogue];
  const starts = branches.map(({ start }) => start).filter((start) => stages.of(start) === 0);
  const side = new Set([...parts.flatMap((part) => [...part.side]), ...starts]);
  return { prologue: stages.collect([...side], -1), over, around, epilogue, states, side };
}

/** Stages of the nodes of a graph; see {@link cutGraph}. */
export class GraphStages {
  private readonly stages = new Map<string, number>();
  /** Values that tell no more of the stream than shapes. */
  private readonly shapes = new Set<string>();

  public constructor(
    private readonly index: GraphIndex,
    branches: readonly ResidualBranch[],
  ) {
    const inside = new Map<GraphNode, number>();
    branches.forEach(({ start, end, rest, nodes }, i) => {
      const requantizing = index.producers.get(rest ?? '');
      const own = requantizing === undefined ? [] : [requantizing];
      for (const node of [...nodes, ...index.between(start, end), ...own]) {
        // The first parallel branch computes shared values.
        inside.set(node, inside.get(node) ?? 2 * i + 1);
      }
    });
    const ends = new Map(branches.map(({ end }, i) => [end, 2 * i + 2]));
    for (const node of index.nodes) {
      const inner = inside.get(node);
      const stage =
        inner ?? node.inputs.reduce((latest, input) => Math.max(latest, this.of(input)), 0);
      const onStream = node.inputs.filter((input) => this.of(input) > 0);
      const readsOnlyShapes =
        inner === undefined &&
        stage > 0 &&
        (isShape(node) || onStream.every((input) => this.shapes.has(input)));
      for (const output of node.outputs) {
        this.stages.set(output, ends.get(output) ?? stage);
        if (readsOnlyShapes) {
          this.shapes.add(output);
        }
      }
    }
  }

  public of(value: string): number {
    return this.stages.get(value) ?? 0;
  }

  /** Collects the nodes that compute `targets` from values of stages up to `known`; −1 means the graph inputs. */
  public collect(
    targets: readonly string[],
    known: number,
    aliases: ReadonlyMap<string, string> = new Map(),
  ): Cut {
    const nodes = new Set<GraphNode>();
    const state = new Set<string>();
    const side = new Set<string>();
    const weights = new Set<string>();
    const open = [...targets];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const value = aliases.get(next) ?? next;
      const producer = this.index.producers.get(value);
      const stage = this.of(value);
      const isConstant = this.index.constants.has(value);
      if (isConstant && producer === undefined) {
        weights.add(value);
      } else if (producer === undefined || (known >= 0 && stage === 0 && !isConstant)) {
        side.add(value);
      } else if (stage > 0 && stage <= known && !this.shapes.has(value)) {
        state.add(value);
      } else if (!nodes.has(producer)) {
        nodes.add(producer);
        producer.inputs.forEach((input) => open.push(input));
      }
    }
    return { nodes: [...nodes].sort((a, b) => a.order - b.order), state, side, weights };
  }
}

import { nestedGraphs } from '../../../checkpoints/nested-weights';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { say } from '../../../message';
import type { Message } from '../../../message';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import { copyWith } from '../../../onnx/messages';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { emitSteps } from './emit-steps';
import {
  additionsTo,
  freeName,
  namesIn,
  withAdditions,
  withoutUnread,
} from '../edits/graph-additions';
import { neededNodes, readBy } from '../edits/graph-remains';
import { renameInputs } from '../edits/node-edits';
import { GraphIndex } from '../graph-index';
import { ValueShapes } from '../values/value-shapes';
import { Around, isRepeating, knownSteps, noStacks } from './known-steps';
import type { NotKnown } from './known-steps';
import { stackViews } from './stack-views';
import type { StackView } from './stack-views';

/** Most nodes of an unrolled graph: 500 blocks of 400 nodes. */
const mostNodes = 200_000;

/** A file whose loops over stacked weights are written out, step by step. */
export interface Unrolled {
  readonly file: OnnxFile;
  /** What is said of each of them. */
  readonly notes: readonly Message[];
}

/**
 * Writes out the Loops and Scans of the main graph whose steps each have weights of their own, as exporters put
 * them into one stack [steps, …] for all blocks. The slices stay in the file as ranges of its bytes.
 */
export function unrollLoops(file: OnnxFile): Unrolled {
  const notes: Message[] = [];
  const refused = new Set<NodeProto>();
  let unrolled = file;
  let around = new Around(file);
  for (;;) {
    const node = unrolled.graph.node.find((one) => isRepeating(one) && !refused.has(one));
    if (node === undefined) {
      return { file: unrolled, notes };
    }
    const found = unroll(unrolled, node, around);
    if ('problem' in found) {
      refused.add(node);
    } else {
      unrolled = found.file;
      around = new Around(unrolled);
      notes.push(
        say`${nameOf(node)} runs ${found.count} steps over stacked weights. Each step is shown as its own layers, and a written model keeps them unrolled.`,
      );
    }
  }
}

/** Why a Loop or Scan of the main graph stays as it is. */
export function whyNotUnrolled(file: OnnxFile, node: NodeProto): Message | undefined {
  const found = isRepeating(node) ? unroll(file, node, new Around(file)) : undefined;
  return found !== undefined && 'problem' in found
    ? say`${nameOf(node)} can't be unrolled: ${found.problem}.`
    : undefined;
}

function nameOf({ opType, name, output }: NodeProto): string {
  return `${opType} ${name === '' ? (output[0] ?? '') : name}`;
}

function unroll(
  file: OnnxFile,
  node: NodeProto,
  around: Around,
): { readonly file: OnnxFile; readonly count: number } | NotKnown {
  const { graph, initializers, path } = file;
  const steps = knownSteps(node, around);
  if ('problem' in steps) {
    return steps;
  }
  const { count, body } = steps;
  if (count * (nodesIn(body) + body.input.length + body.output.length) > mostNodes) {
    return { problem: say`its ${count} steps would be more than ${mostNodes} nodes` };
  }
  const names = namesIn(graph);
  const builder = additionsTo(file, names);
  const emitted = emitSteps(steps, builder, freeScope(node, names), path);
  const main = copyWith(graph, {
    node: graph.node.flatMap((one) => (one === node ? emitted.nodes : [one])),
    valueInfo: [...graph.valueInfo, ...emitted.valueInfo],
  });
  const whole = copyWith(main, {
    initializer: [...main.initializer, ...builder.graph.initializer],
  });
  const shapes = new ValueShapes(whole, new GraphIndex(whole, path));
  const views = stackViews(emitted.nodes, initializers, shapes);
  if (![...views.values()].some(({ dims }) => isMatrix(dims))) {
    return { problem: noStacks };
  }
  const rest = main.node.filter(({ output: [first = ''] }) => !views.has(first));
  const read = new Set(rest.flatMap(readBy));
  const parts = nameViews(
    [...views].filter(([value]) => read.has(value)),
    builder,
    names,
  );
  const nodes = rest.map((one) => renameInputs(one, (name) => parts.get(name) ?? name));
  const outputs = main.output.map(({ name }) => name);
  const left = copyWith(main, { node: neededNodes(nodes, outputs) });
  return { file: withoutUnread(withAdditions(file, left, builder, () => true)), count };
}

/** Those of nested graphs included. */
function nodesIn({ node }: GraphProto): number {
  const nested = node.flatMap(nestedGraphs).map(nodesIn);
  return nested.reduce((sum, count) => sum + count, node.length);
}

function isMatrix(dims: readonly number[]): boolean {
  return dims.filter((size) => size > 1).length > 1;
}

/** What a node is called, or a name made of it with which no other begins. */
function freeScope({ name, output }: NodeProto, names: ReadonlySet<string>): string {
  const wanted = name === '' ? (output[0] ?? '') : name;
  let scope = wanted;
  for (let count = 1; [...names].some((one) => one.startsWith(`${scope}.`)); count++) {
    scope = `${wanted}.unrolled${count}`;
  }
  return scope;
}

/** Each part of a stack as a weight of its own, by the values that stood for it. */
function nameViews(
  views: readonly (readonly [string, StackView])[],
  builder: GraphBuilder,
  names: Set<string>,
): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  return new Map(
    views.map(([value, { stack, offset, length, dims }]) => {
      const { file, dataType } = stack;
      const wanted = `${stack.name}.${offset / length}`;
      const key = `${wanted} ${dims.join()}`;
      const name = known.get(key) ?? freeName(wanted, names);
      known.set(key, name);
      const place = { file, offset: stack.offset + offset, length };
      return [value, builder.weight({ name, dataType, shape: dims, ...place })] as const;
    }),
  );
}

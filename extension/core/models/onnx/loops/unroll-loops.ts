import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { say } from '../../../message';
import type { Message } from '../../../message';
import { copyWith, attribute } from '../../../onnx/messages';
import type { GraphProto, NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { additionsTo, namesIn, withAdditions, withoutUnread } from '../edits/graph-additions';
import { neededNodes } from '../edits/graph-remains';
import { renameInputs } from '../edits/node-edits';
import { GraphIndex, operatorName } from '../graph-index';
import { LoopSurroundings, isRepeating, knownSteps, noStacks } from './known-steps';
import type { NotUnrolled, KnownSteps } from './known-steps';
import { branchesIn, mainPlace } from './places';
import type { Place } from './places';
import { StackRows } from './stack-rows';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
} from '../../../onnx/proto/onnx_pb';
import { ValueShapes } from '../values/value-shapes';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import type { Attribute } from '../../../onnx/messages';

/** Most nodes of an unrolled graph: 500 blocks of 400 nodes. */
const mostNodes = 200_000;

/** A file whose loops over stacked weights are written out, step by step. */
export interface Unrolled {
  readonly file: OnnxFile;
  /** Notes for the user about each unrolled loop. */
  readonly notes: readonly Message[];
}

/**
 * Unrolls Loops and Scans whose steps have their own weights, which exporters store as one stack [steps, …] for all
 * blocks. Slices remain byte ranges of the file.
 * @param inBranches true to unroll those in branches of an If instead of those in the main graph
 */
export function unrollLoops(file: OnnxFile, inBranches = false): Unrolled {
  const notes: Message[] = [];
  const refused = new Set<NodeProto>();
  let unrolled = file;
  for (;;) {
    const main = mainPlace(unrolled.graph);
    const found = (inBranches ? branchesIn(main) : [main])
      .map((place) => ({
        place,
        node: place.graph.node.find((one) => isRepeating(one) && !refused.has(one)),
      }))
      .find(({ node }) => node !== undefined);
    if (found?.node === undefined) {
      return { file: unrolled, notes };
    }
    const { place, node } = found;
    const result = unroll(unrolled, place, node);
    if ('problem' in result) {
      refused.add(node);
    } else {
      unrolled = result.file;
      notes.push(
        say`${nodeName(node)} runs ${result.count} steps over stacked weights. Each step is shown as its own layers, and a written model keeps them unrolled.`,
      );
    }
  }
}

/** Reason why a Loop or Scan of the main graph, or of an If branch in it, can't be unrolled. */
export function explainNotUnrolled(file: OnnxFile, node: NodeProto): Message | undefined {
  const main = mainPlace(file.graph);
  const place = isRepeating(node)
    ? [main, ...branchesIn(main)].find(({ graph }) => graph.node.includes(node))
    : undefined;
  const found = place === undefined ? undefined : unroll(file, place, node);
  return found !== undefined && 'problem' in found
    ? say`${nodeName(node)} can't be unrolled: ${found.problem}.`
    : undefined;
}

function nodeName({ opType, name, output }: NodeProto): string {
  return `${opType} ${name === '' ? (output[0] ?? '') : name}`;
}

/**
 * Nodes of unrolled steps, with each If on a known condition replaced by the branch taken. A body may contain different
 * layers depending on the step number.
 * @param around the graph that contains them
 */
function takeKnownBranches(
  nodes: readonly NodeProto[],
  around: (nodes: readonly NodeProto[]) => GraphProto,
  file: string,
): readonly NodeProto[] {
  let taken = nodes;
  while (taken.some(isChoice)) {
    const graph = around(taken);
    const shapes = new ValueShapes(graph, new GraphIndex(graph, file));
    const next = taken.flatMap((node) => {
      const branch = isChoice(node) ? branchTaken(node, shapes) : undefined;
      return branch === undefined ? [node] : inlined(node, branch);
    });
    if (next.every((node) => taken.includes(node))) {
      return taken;
    }
    taken = next;
  }
  return taken;
}

const isChoice = (node: NodeProto): boolean => operatorName(node) === 'If';

function branchTaken(
  { input: [condition = ''], attribute }: NodeProto,
  shapes: ValueShapes,
): GraphProto | undefined {
  const [value] = shapes.contents(condition) ?? [];
  const name = value === 1 ? 'then_branch' : 'else_branch';
  const branch = attribute.find((one) => one.name === name)?.g;
  const isKnown = value === 0 || value === 1;
  return isKnown && branch?.sparseInitializer.length === 0 ? branch : undefined;
}

/** Nodes of a branch with renamed values; they produce the outputs of the If. */
function inlined(choice: NodeProto, branch: GraphProto): NodeProto[] {
  const scope = choice.output.find((name) => name !== '') ?? '';
  const own = [...branch.initializer, ...branch.node.flatMap(({ output }) => output)]
    .map((one) => (typeof one === 'string' ? one : one.name))
    .filter((name) => name !== '');
  const names = new Map(own.map((name) => [name, `${scope}/${name}`]));
  const of = (name: string): string => names.get(name) ?? name;
  const constants = branch.initializer.map((tensor) =>
    create(NodeProtoSchema, {
      opType: 'Constant',
      output: [of(tensor.name)],
      attribute: [
        create(AttributeProtoSchema, { name: 'value', type: AttributeType.TENSOR, t: tensor }),
      ],
    }),
  );
  const nodes = branch.node.map((node) =>
    copyWith(renameInputs(node, of), {
      name: `${scope}/${node.name === '' ? (node.output[0] ?? '') : node.name}`,
      output: node.output.map(of),
    }),
  );
  const results = branch.output.map(({ name }, place) =>
    create(NodeProtoSchema, {
      opType: 'Identity',
      input: [of(name)],
      output: [choice.output[place] ?? ''],
    }),
  );
  return [...constants, ...nodes, ...results.filter(({ output: [name] }) => name !== '')];
}

function unroll(
  file: OnnxFile,
  { graph, flat, main }: Place,
  node: NodeProto,
): { readonly file: OnnxFile; readonly count: number } | NotUnrolled {
  const steps = knownSteps(node, new LoopSurroundings(file, flat));
  if ('problem' in steps) {
    return steps;
  }
  const { count, body } = steps;
  if (count * (countNodes(body) + body.input.length + body.output.length) > mostNodes) {
    return { problem: say`its ${count} steps would be more than ${mostNodes} nodes` };
  }
  const names = namesIn(file.graph);
  const builder = additionsTo(file, names);
  const emitted = emitSteps(steps, builder, freeScope(node, names), file.path);
  const withSteps = (around: GraphProto, nodes: readonly NodeProto[]): GraphProto =>
    copyWith(around, {
      node: around.node.flatMap((one) => (one === node ? nodes : [one])),
      valueInfo: [...around.valueInfo, ...emitted.valueInfo],
    });
  const wholeWith = (nodes: readonly NodeProto[]): GraphProto =>
    copyWith(withSteps(flat, nodes), {
      initializer: [...flat.initializer, ...builder.graph.initializer],
    });
  const written = takeKnownBranches(emitted.nodes, wholeWith, file.path);
  const whole = wholeWith(written);
  const rows = new StackRows(file, whole, count, builder, names);
  written.forEach((one) => {
    rows.follow(one);
  });
  if (rows.problem !== undefined || !rows.holdMatrices) {
    return { problem: rows.problem ?? noStacks };
  }
  const inside = withSteps(graph, [...rows.nodes, ...written]);
  const outputs = inside.output.map(({ name }) => name);
  const renamed = inside.node.map((one) => renameInputs(one, (name) => rows.standIn(name)));
  // A node that changes a part may read a constant that a step makes.
  const { nodes } = new GraphIndex(copyWith(inside, { node: renamed }), file.path);
  const needed = neededNodes(
    nodes.map(({ proto }) => proto),
    outputs,
  );
  const left = main(
    copyWith(inside, {
      node: needed.map((one) => renameInputs(one, (name) => rows.nodeName(name))),
    }),
  );
  const around = copyWith(left, {
    node: neededNodes(
      left.node,
      left.output.map(({ name }) => name),
    ),
  });
  return { file: withoutUnread(withAdditions(file, around, builder, () => true)), count };
}

/** Number of nodes, including nested graphs. */
function countNodes({ node }: GraphProto): number {
  const nested = node.flatMap(nestedGraphs).map(countNodes);
  return nested.reduce((sum, count) => sum + count, node.length);
}

/** Name of a node, with a suffix if other names begin with it. */
function freeScope({ name, output }: NodeProto, names: ReadonlySet<string>): string {
  const wanted = name === '' ? (output[0] ?? '') : name;
  let scope = wanted;
  for (let count = 1; [...names].some((one) => one.startsWith(`${scope}.`)); count++) {
    scope = `${wanted}.unrolled${count}`;
  }
  return scope;
}

/** First opset whose Unsqueeze has its axes as an input. */
const axesAsInput = 13;

interface Emitted {
  readonly nodes: readonly NodeProto[];
  /** Notes of the body on its values, for each step. */
  readonly valueInfo: readonly ValueInfoProto[];
}

/**
 * Nodes of all steps in sequence, which produce the outputs of the Loop or Scan. `builder` receives the constants they
 * read. Names in step 2 begin with `scope.2/`.
 */
function emitSteps(
  { body, count, counters, states, items, results }: KnownSteps,
  builder: GraphBuilder,
  scope: string,
  file: string,
): Emitted {
  const nodes: NodeProto[] = [];
  const valueInfo: ValueInfoProto[] = [];
  const ordered = [...new Set(new GraphIndex(body, file).nodes.map(({ proto }) => proto))];
  const counterShape = rank(body.input[0]) === 1 ? [1] : [];
  const given = results.map((): string[] => []);
  let current = states.map(({ first }) => first);
  const add = (
    opType: string,
    input: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string => {
    nodes.push(
      create(NodeProtoSchema, {
        name: output,
        opType,
        input: [...input],
        output: [output],
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      }),
    );
    return output;
  };
  for (let step = 0; step < count; step++) {
    const inside = (name: string): string => `${scope}.${step}/${name}`;
    const values = new Map(states.map(({ input }, i) => [input, current[i] ?? '']));
    if (counters !== undefined) {
      const one = builder.ints([1], counterShape);
      const { condition } = counters;
      values.set(counters.step, builder.ints([step], counterShape));
      values.set(condition, add('Cast', [one], inside(condition), { to: DataType.BOOL }));
    }
    for (const { inside: input, outside, axis, reversed } of items) {
      const place = builder.ints([reversed ? count - 1 - step : step], []);
      values.set(input, add('Gather', [outside, place], inside(input), { axis }));
    }
    nodes.push(...emitBody(ordered, values, inside));
    valueInfo.push(...stepValueInfos(body, values));
    current = states.map(({ output }) => values.get(output) ?? output);
    results.forEach(({ inside: output, axis }, i) => {
      const [part, row] = [values.get(output) ?? output, inside(`${output}/row`)];
      given[i]?.push(
        builder.opset < axesAsInput
          ? add('Unsqueeze', [part], row, { axes: [axis] })
          : add('Unsqueeze', [part, builder.ints([axis])], row),
      );
    });
  }
  states.forEach(({ last }, i) => last !== '' && add('Identity', [current[i] ?? ''], last));
  results.forEach(({ outside, axis, reversed }, i) => {
    const parts = given[i] ?? [];
    if (outside !== '') {
      add('Concat', reversed ? parts.toReversed() : parts, outside, { axis });
    }
  });
  return { nodes, valueInfo };
}

/** Returns the nodes of a body over `values`, and adds the outputs of the body to `values`. */
function emitBody(
  body: readonly NodeProto[],
  values: Map<string, string>,
  inside: (name: string) => string,
): NodeProto[] {
  return body.flatMap((node) => {
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    if (operatorName(node) === 'Identity') {
      // Stacks pass from step to step like this. Their slices are found by the original name.
      values.set(output, values.get(input) ?? input);
      return [];
    }
    const copy = renameInputs(node, (name) => values.get(name) ?? name);
    node.output.filter((name) => name !== '').forEach((name) => values.set(name, inside(name)));
    return [
      copyWith(copy, {
        name: inside(node.name === '' ? output : node.name),
        output: node.output.map((name) => values.get(name) ?? name),
        // Stack traces would be there as often as there are steps.
        metadataProps: node.metadataProps.filter(({ key }) => key === 'namespace'),
      }),
    ];
  });
}

/** Value infos of a body with the value names of a step. */
function stepValueInfos(
  { valueInfo, output }: GraphProto,
  values: ReadonlyMap<string, string>,
): ValueInfoProto[] {
  return [...valueInfo, ...output].flatMap((info) => {
    const name = values.get(info.name);
    return name === undefined ? [] : [copyWith(info, { name })];
  });
}

function rank(info: ValueInfoProto | undefined): number | undefined {
  const value = info?.type?.value;
  return value?.case === 'tensorType' ? value.value.shape?.dim.length : undefined;
}

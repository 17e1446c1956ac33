import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { Message } from '../../../message';
import { say } from '../../../message';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { readBy } from '../edits/graph-remains';
import {
  GraphIndex,
  operatorName,
  intAttribute,
  intsAttribute,
  tensorAttribute,
} from '../graph-index';
import { tensorNumbers, ValueShapes } from '../values/value-shapes';
import { rowRules } from './row-rules';
import { stackRank } from './stack-rows';

/** A value cut along `axis` into one part for each step, from the last part on where it is `reversed`. */
interface Parts {
  readonly inside: string;
  readonly outside: string;
  readonly axis: number;
  readonly reversed: boolean;
}

/** A Loop or Scan whose number of steps is known before the graph runs. */
export interface KnownSteps {
  readonly body: GraphProto;
  readonly count: number;
  /** Names of the step's number, and of the condition that stays true, in a Loop's body. */
  readonly counters: { readonly step: string; readonly condition: string } | undefined;
  /** Loop-carried values: names in the body, and of the initial and final value. */
  readonly states: readonly {
    readonly input: string;
    readonly output: string;
    readonly first: string;
    readonly last: string;
  }[];
  /** Scan inputs. */
  readonly items: readonly Parts[];
  /** Concatenated outputs of the steps. */
  readonly results: readonly Parts[];
}

/** The graph around a Loop or Scan. */
export class LoopSurroundings {
  private found: { readonly shapes: ValueShapes; readonly index: GraphIndex } | undefined;

  public constructor(
    private readonly file: OnnxFile,
    /** Graph that contains the loop. */
    private readonly graph: GraphProto,
  ) {}

  private get looked(): { readonly shapes: ValueShapes; readonly index: GraphIndex } {
    if (this.found === undefined) {
      const index = new GraphIndex(this.graph, this.file.path);
      this.found = { index, shapes: new ValueShapes(this.graph, index) };
    }
    return this.found;
  }

  public get shapes(): ValueShapes {
    return this.looked.shapes;
  }

  /** True if a value is a stored stack of matrices, or computed from stacks matrix by matrix. */
  public isStack(name: string): boolean {
    const stored = this.file.initializers.get(name);
    if (stored !== undefined) {
      return stored.dims.length >= stackRank;
    }
    const { index, shapes } = this.looked;
    return index.constants.has(name) && (shapes.of(name)?.length ?? 0) >= stackRank;
  }

  public get opset(): number {
    const { opsetImport } = this.file.model;
    const own = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
    return Number(own?.version ?? 0);
  }
}

/** Operators that pass a condition on. */
const passing = new Set(['Identity', 'Cast']);
/** A Loop has the trip count and a condition before its states; its body has the iteration number and a condition. */
const loopInputs = 2;
/** Opset from which on a Scan has no axis for sequences of different lengths. */
const scanOpset = 9;

/** Reason: a Loop whose steps read no stacked weights. */
export const noStacks = say`its steps don't read weights of their own from a stack in the file`;

/** Why a Loop or Scan cannot be unrolled, as the end of "can't be unrolled: …". */
export interface NotUnrolled {
  readonly problem: Message;
}

export function isRepeating(node: NodeProto): boolean {
  return ['Loop', 'Scan'].includes(operatorName(node));
}

/** The steps of a Loop or Scan, or why they are not known. */
export function knownSteps(node: NodeProto, around: LoopSurroundings): KnownSteps | NotUnrolled {
  const body = node.attribute.find(({ name }) => name === 'body')?.g;
  if (body === undefined || body.sparseInitializer.length > 0) {
    return { problem: say`its body is missing or has sparse weights` };
  }
  const isLoop = node.opType === 'Loop';
  const items = isLoop ? 0 : intAttribute(node, 'num_scan_inputs', 0);
  const states = node.input.length - (isLoop ? loopInputs : items);
  const inside = body.input.length - (isLoop ? loopInputs : items);
  if (states < 0 || inside !== states || body.output.length < states + (isLoop ? 1 : 0)) {
    return { problem: say`the inputs or outputs of its body don't match its own` };
  }
  const read = isLoop ? cutInBody(node, body, around) : node.input.slice(states);
  if (!read.some((name) => around.isStack(name))) {
    return { problem: noStacks };
  }
  return isLoop ? readLoop(node, body, around) : readScan(node, body, states, around);
}

/** Outer names of the values that a Loop body, or a graph nested in it, may slice. */
function cutInBody({ input }: NodeProto, body: GraphProto, around: LoopSurroundings): string[] {
  const outside = new Map(body.input.map(({ name }, place) => [name, input[place] ?? '']));
  const named = (name: string): string => outside.get(name) ?? name;
  return body.node.flatMap((one) => {
    const [data = ''] = one.input;
    const op = operatorName(one);
    if (op === 'Gather' || op === 'Slice') {
      return [named(data)];
    }
    if (op in rowRules) {
      // A value computed from a stack is also a stack.
      const [made = data] = one.input.filter((name) => around.isStack(named(name)));
      one.output.forEach((name) => outside.set(name, named(made)));
      return [];
    }
    return nestedGraphs(one).length === 0 ? [] : readBy(one).map(named);
  });
}

function readLoop(
  node: NodeProto,
  body: GraphProto,
  { shapes }: LoopSurroundings,
): KnownSteps | NotUnrolled {
  const [limit = '', condition = '', ...firsts] = node.input;
  const numbers = shapes.contents(limit);
  const [count] = numbers ?? [];
  if (typeof count !== 'number' || count < 1) {
    return {
      problem: say`its number of steps isn't a constant above 0. If it generates tokens, export the decoder as a model of its own`,
    };
  }
  const [step = '', going = '', ...inputs] = body.input.map(({ name }) => name);
  const [goesOn = '', ...outputs] = body.output.map(({ name }) => name);
  const isTrue = (name: string): boolean => shapes.contents(name)?.[0] === 1;
  if (!(condition === '' || isTrue(condition)) || !staysTrue(goesOn, going, body, isTrue)) {
    return { problem: say`it can stop early, because its steps compute the condition` };
  }
  return {
    body,
    count,
    counters: { step, condition: going },
    states: readStates(node, firsts, inputs, outputs),
    items: [],
    results: outputs.slice(firsts.length).map((inside, i) => ({
      inside,
      outside: node.output[firsts.length + i] ?? '',
      axis: 0,
      reversed: false,
    })),
  };
}

/** True if the condition output of a body is its condition input or always true. */
function staysTrue(
  name: string,
  given: string,
  { node: nodes }: GraphProto,
  isTrue: (name: string) => boolean,
): boolean {
  const makers = new Map(nodes.flatMap((one) => one.output.map((value) => [value, one] as const)));
  const seen = new Set<string>();
  for (let next = name; !seen.has(next);) {
    if (next === given || isTrue(next)) {
      return true;
    }
    seen.add(next);
    const maker = makers.get(next);
    const constant = maker?.opType === 'Constant' ? tensorAttribute(maker, 'value') : undefined;
    if (constant !== undefined) {
      return tensorNumbers(constant)?.[0] === 1;
    }
    next = maker !== undefined && passing.has(maker.opType) ? (maker.input[0] ?? '') : next;
  }
  return false;
}

function readScan(
  node: NodeProto,
  body: GraphProto,
  states: number,
  { shapes, opset }: LoopSurroundings,
): KnownSteps | NotUnrolled {
  if (opset < scanOpset) {
    return { problem: say`Scan has another format before opset ${scanOpset}` };
  }
  const firsts = node.input.slice(0, states);
  const inputs = body.input.map(({ name }) => name);
  const outputs = body.output.map(({ name }) => name);
  const parts = (
    inside: readonly string[],
    outside: readonly string[],
    prefix: string,
  ): readonly Parts[] => {
    const axes = intsAttribute(node, `${prefix}_axes`);
    const directions = intsAttribute(node, `${prefix}_directions`);
    return inside.map((name, i) => ({
      inside: name,
      outside: outside[i] ?? '',
      axis: axes?.[i] ?? 0,
      reversed: directions?.[i] === 1,
    }));
  };
  const items = parts(inputs.slice(states), node.input.slice(states), 'scan_input');
  const sizes = items.map(({ outside, axis }) => shapes.of(outside)?.at(axis));
  const [count] = sizes.filter((size) => typeof size === 'number');
  if (count === undefined || count < 1) {
    return { problem: say`its number of steps isn't a constant above 0` };
  }
  return {
    body,
    count,
    counters: undefined,
    states: readStates(node, firsts, inputs, outputs),
    items,
    results: parts(outputs.slice(states), node.output.slice(states), 'scan_output'),
  };
}

function readStates(
  node: NodeProto,
  firsts: readonly string[],
  inputs: readonly string[],
  outputs: readonly string[],
): KnownSteps['states'] {
  return firsts.map((first, i) => ({
    first,
    input: inputs[i] ?? '',
    output: outputs[i] ?? '',
    last: node.output[i] ?? '',
  }));
}

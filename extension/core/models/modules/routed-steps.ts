import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder } from '../../onnx/graph-builder';
import type { ExpertMask, RoutedPart, RoutedSteps, Step } from '../layered-model';
import type { LinearLayer } from '../matrix-encoding';
import { routedNames } from '../model-emitter';
import type { EmitOptions, Values } from '../model-emitter';
import { emittedPart, tappedPart } from '../transformer/tapped-part';
import type { BuilderPart, RunningCosts } from '../transformer/tapped-part';
import type { SingleExpert, SingleExperts } from './sublayer';

/** Names of a part's inputs. */
export interface PartInputs {
  readonly stateNames: readonly string[];
  readonly sides: readonly string[];
  /** Inputs that are neither state nor side values. */
  readonly further: readonly string[];
}

type Emit<Result> = (graph: GraphBuilder, state: Values, side: Values) => Result;

/** Model that emits its sublayers in parts. */
interface PartEmitter {
  at(index: number): { readonly singleExperts?: SingleExperts | undefined };
  idAt(index: number): string;
  expertMask(index: number): ExpertMask | undefined;
  stateNames(index: number): readonly string[];
  sidesOf(index: number): readonly string[];
  nextState(boundary: number, next: string): Step['next'];
  partFrom(
    key: string,
    costs: RunningCosts,
    inputs: PartInputs,
    outputs: readonly string[],
    emit: Emit<void>,
  ): BuilderPart;
  partOver(
    key: string,
    costs: RunningCosts,
    stateNames: readonly string[],
    sides: readonly string[],
    mask: ExpertMask | undefined,
    index: number,
    emit: Emit<Values>,
  ): BuilderPart;
  emitSublayer(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
    options: EmitOptions,
  ): Values;
}

/** Declares the input of a mask, if there is one. */
export const maskInput = (
  graph: GraphBuilder,
  mask: ExpertMask | undefined,
): Pick<EmitOptions, 'expertMask'> =>
  mask === undefined
    ? {}
    : { expertMask: graph.input(mask.input, DataType.FLOAT, ['batch', mask.count]) };

/**
 * Sublayer `index` in parts, if it is an MoE layer whose experts can run separately. The inputs of the linear layers
 * `tapped` are further outputs of the parts.
 */
export function routedSteps(
  model: PartEmitter,
  index: number,
  tapped: readonly LinearLayer[],
): RoutedSteps | undefined {
  const { singleExperts } = model.at(index);
  if (singleExperts === undefined) {
    return undefined;
  }
  const { experts, otherCosts } = singleExperts;
  const id = model.idAt(index);
  const mask = model.expertMask(index);
  const [stateNames, sides] = [model.stateNames(index), model.sidesOf(index)];
  const { rows, chosen, shares, sum } = routedNames;
  const outputs = [rows, chosen, shares];
  const further = mask === undefined ? [] : [mask.input];
  const route = model.partFrom(
    `${id}.route`,
    otherCosts,
    { stateNames, sides, further },
    outputs,
    (graph, state, side) => {
      const apart = { part: 'route' } as const;
      model.emitSublayer(graph, index, state, side, { ...maskInput(graph, mask), apart });
      for (const name of outputs) {
        const type = name === chosen ? DataType.INT64 : DataType.FLOAT;
        graph.output(name, graph.marks.get(name) ?? missing(name), type, ['rows', name]);
      }
    },
  );
  const joined = model.partOver(
    `${id}.join`,
    otherCosts,
    stateNames,
    sides,
    undefined,
    index,
    (graph, state, side) => {
      const apart = { part: 'join', sum: graph.input(sum, DataType.FLOAT, ['rows', sum]) } as const;
      return model.emitSublayer(graph, index, state, side, { apart });
    },
  );
  const join = { ...joined, inputs: [...joined.inputs, sum] };
  const ofExperts = new Set(experts.flatMap(({ layers }) => layers));
  return {
    route: { part: route, ...(mask === undefined ? {} : { mask }) },
    experts: experts.map((expert, j) => {
      const own = new Set(expert.layers);
      return tap(
        expertPart(`${id}.expert.${j}`, expert),
        tapped.filter((layer) => own.has(layer.id)),
      );
    }),
    join: {
      next: model.nextState(index + 1, joined.outputs[0] ?? missing('next')),
      ...tap(
        join,
        tapped.filter((layer) => !ofExperts.has(layer.id)),
      ),
    },
  };
}

const tap = (part: BuilderPart, layers: readonly LinearLayer[]): RoutedPart =>
  layers.length === 0 ? { part } : tappedPart(part, layers);

function expertPart(key: string, { costs, emit }: SingleExpert): BuilderPart {
  const { rows, shares, output } = routedNames;
  return emittedPart({ key, ...costs, inputs: [rows, shares], outputs: [output] }, (graph) => {
    const read = graph.input(rows, DataType.FLOAT, ['rows', 'width']);
    const share = graph.input(shares, DataType.FLOAT, ['rows', 1]);
    graph.output(output, emit(graph, read, share), DataType.FLOAT, ['rows', 'width']);
  });
}

function missing(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}

import * as v from 'valibot';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { fingerprintChanges } from '../fingerprint';
import { emitWeight } from '../parts/weight';
import { emitGraphConvolutions } from './graph-convolutions';
import { fits } from './graph-slots';
import type { ModuleMode } from './graph-slots';
import type { SymbolicGraph } from './symbolic-graph';

/** Input and output width of a patch's module. */
export const patchWidth = 64;
/** Its graph convolutions. */
export const patchLayers = 3;
/** Assignment of input values to the graph. */
export const patchMode: ModuleMode = 'clean';
/** Ports of a node are numbered below this. */
const ports = 10;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const graphSpec = v.pipe(
  v.strictObject({
    program: v.string(),
    nodes: v.pipe(v.array(count), v.minLength(2)),
    /** [id, port, node, node] */
    edges: v.pipe(
      v.array(v.tuple([count, v.pipe(count, v.maxValue(ports - 1)), count, count])),
      v.minLength(1),
    ),
  }),
  v.check(({ nodes, edges }) => {
    const ids = new Set([...nodes, ...edges.map(([id]) => id)]);
    const total = nodes.length + edges.length;
    const isWhole = ids.size === total && Math.max(...ids) === total - 1;
    return isWhole && edges.every(([, , a, b]) => nodes.includes(a) && nodes.includes(b));
  }, 'Nodes and edges are to be numbered from 0 without gaps, and edges to join nodes'),
  v.check(
    ({ nodes, edges }) => nodes.length + edges.length <= patchWidth,
    `A patch has ${patchWidth} nodes and edges at most`,
  ),
);

/** Patches in config.json, by the id of the sublayer that each replaces. */
export const patchSpecs = v.record(v.string(), graphSpec);
export type PatchSpec = v.InferOutput<typeof graphSpec>;
export type PatchSpecs = Readonly<Record<string, PatchSpec>>;

/**
 * A module that replaces a removed sublayer: x + U·G(D·x), with D from the hidden size k to 64, the
 * graph module G (arXiv 2303.03340, § 3.2) from 64 to 64, and U from 64 to k, each with a bias. `T`
 * is the type of its tensors: in files, or in memory after fitting.
 */
export interface SymbolicPatch<T = LazyTensor> {
  /** The program that builds the graph. */
  readonly program: string;
  readonly graph: SymbolicGraph;
  /** By their names in {@link patchTensorShapes}. */
  readonly tensors: Readonly<Record<string, T>>;
}

/** Shapes of a patch's tensors by name, for a stream of `hiddenSize`. */
export function patchTensorShapes(hiddenSize: number): Readonly<Record<string, readonly number[]>> {
  const dense = (name: string, out: number, input: number): [string, readonly number[]][] => [
    [`${name}.weight`, [out, input]],
    [`${name}.bias`, [out]],
  ];
  return Object.fromEntries([
    ...dense('down', patchWidth, hiddenSize),
    ...Array.from({ length: patchLayers }, (_, layer) =>
      dense(`module.convolution_${layer}`, patchWidth, patchWidth),
    ).flat(),
    ...dense('module.readout', patchWidth, patchWidth),
    ...dense('up', hiddenSize, patchWidth),
  ]);
}

/** True if a patch can use this graph: its input has a part for each node and edge. */
export const fitsPatch = (graph: SymbolicGraph): boolean =>
  fits(graph, patchMode, patchWidth) && graph.nextId === graph.nodes.length + graph.edges.length;

export function describePatch({ program, graph }: SymbolicPatch<unknown>): PatchSpec {
  return {
    program,
    nodes: [...graph.nodes],
    edges: graph.edges.map(({ id, port, ends: [a, b] }) => [id, port, a, b]),
  };
}

/** Tells a model with patches from the model of the fingerprint. */
export const fingerprintPatches = (
  fingerprint: string,
  patches: ReadonlyMap<string, SymbolicPatch>,
): string => fingerprintChanges(fingerprint, patches, describePatch);

/** Loads the patch described by `spec`, with tensors from `find`. */
export function findPatch(
  { program, nodes, edges }: PatchSpec,
  hiddenSize: number,
  find: (name: string, shape: readonly number[]) => LazyTensor,
): SymbolicPatch {
  const graph = {
    nodes: [...nodes].sort((a, b) => a - b),
    edges: edges
      .map(([id, port, a, b]) => ({ id, port, ends: [a, b] as const }))
      .sort((a, b) => a.id - b.id),
    nextId: nodes.length + edges.length,
  };
  const shapes = Object.entries(patchTensorShapes(hiddenSize));
  const tensors = shapes.map(([name, shape]) => [name, find(name, shape)] as const);
  return { program, graph, tensors: Object.fromEntries(tensors) };
}

export const patchTensors = <T>({ tensors }: SymbolicPatch<T>): T[] => Object.values(tensors);

/** Multiply-adds of its matrices for a token, counted as two. */
export function patchFlops({ graph, tensors }: SymbolicPatch): number {
  return Object.entries(tensors).reduce((sum, [name, { shape }]) => {
    const times = name.startsWith('module.convolution') ? graph.nodes.length : 1;
    return sum + (shape.length === 2 ? 2 * times * elementCount(shape) : 0);
  }, 0);
}

/** U·G(D·x) of x [..., hidden]. */
export function emitPatchBranch(builder: GraphBuilder, patch: SymbolicPatch, input: Value): Value {
  const { graph, tensors } = patch;
  const dense = (name: string, rows: Value): Value => {
    const [weight, bias] = ['weight', 'bias'].map((part) => tensors[`${name}.${part}`]);
    if (weight === undefined || bias === undefined) {
      throw new Error(`a patch has no tensor ${name}`);
    }
    const inputs = [rows, emitWeight(builder, weight), emitWeight(builder, bias)];
    return builder.step(name, () => builder.op('Gemm', inputs, { transB: 1 }));
  };
  const like = (value: Value, shape: readonly number[]): Value =>
    builder.op('Reshape', [value, builder.ints(shape)]);
  const inner = dense('down', like(input, [-1, tensors['up.bias']?.shape[0] ?? 0]));
  const out = builder.step('graph-module', () => {
    const pooled = emitGraphConvolutions(builder, graph, inner, {
      mode: patchMode,
      width: patchWidth,
      layers: patchLayers,
      drop: (features) => features,
      mix: (layer, features) =>
        like(dense(`module.convolution_${layer}`, like(features, [-1, patchWidth])), [
          -1,
          graph.nodes.length,
          patchWidth,
        ]),
    });
    return dense('module.readout', pooled);
  });
  const added = dense('up', out);
  return builder.op('Reshape', [added, builder.op('Shape', [input])]);
}

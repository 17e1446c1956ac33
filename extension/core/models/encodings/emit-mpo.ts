import { elementCount } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { MpoEncoding } from '../matrix-encoding';
import { emitWeight } from '../parts/weight';

/** Emits x·Wᵀ, [rows, out], of `rows` x [rows, in], with W a matrix product operator. */
export function emitMpo(graph: GraphBuilder, form: MpoEncoding, rows: Value): Value {
  return form.run === 'contracted'
    ? graph.op('Gemm', [rows, emitContracted(graph, form)], { transB: 1 })
    : emitChained(graph, form, rows);
}

/**
 * Emits W [out, in]: the cores multiplied together, which ONNX Runtime does once when the session is
 * made, as it all is constant.
 */
export function emitContracted(
  graph: GraphBuilder,
  { sites, cores, inputScale }: MpoEncoding,
): Value {
  const product = cores
    .map((core) => emitWeight(graph, core))
    .reduce((left, core, site) => {
      const bond = cores[site]?.shape[0] ?? 1;
      return graph.op('MatMul', [
        reshaped(graph, left, [-1, bond]),
        reshaped(graph, core, [bond, -1]),
      ]);
    });
  // [o₁, i₁, o₂, i₂, …] → [o₁, o₂, …, i₁, i₂, …]
  const interleaved = sites.out.flatMap((size, site) => [size, sites.in[site] ?? 1]);
  const places = sites.out.map((_, site) => 2 * site);
  const ordered = graph.op('Transpose', [reshaped(graph, product, interleaved)], {
    perm: [...places, ...places.map((place) => place + 1)],
  });
  const matrix = reshaped(graph, ordered, [elementCount(sites.out), elementCount(sites.in)]);
  return inputScale === undefined
    ? matrix
    : graph.op('Mul', [matrix, emitWeight(graph, inputScale)]);
}

/**
 * Applies the cores from the first site to the last. Before site k the values are [rows,
 * o₁…o_{k−1}, i_{k+1}…i_N, χ_{k−1}·i_k]. A matmul with the core changes the last axis to o_k·χ_k,
 * and a transpose moves the next input to the bond.
 */
function emitChained(
  graph: GraphBuilder,
  { sites, bonds, cores, inputScale }: MpoEncoding,
  rows: Value,
): Value {
  const scaled =
    inputScale === undefined ? rows : graph.op('Mul', [rows, emitWeight(graph, inputScale)]);
  const [first = 1] = sites.in;
  const rest = elementCount(sites.in.slice(1));
  let values = reshaped(
    graph,
    graph.op('Transpose', [reshaped(graph, scaled, [-1, first, rest])], { perm: [0, 2, 1] }),
    [-1, first],
  );
  let done = 1;
  for (const [site, core] of cores.entries()) {
    const [out = 1, input = 1] = [sites.out[site], sites.in[site]];
    const [bond = 1, next = 1] = [bonds[site - 1], bonds[site]];
    // [χ_{k−1}, o_k, i_k, χ_k] → [χ_{k−1}·i_k, o_k·χ_k]
    const matrix = reshaped(
      graph,
      graph.op('Transpose', [emitWeight(graph, core)], { perm: [0, 2, 1, 3] }),
      [bond * input, out * next],
    );
    values = graph.op('MatMul', [values, matrix]);
    const following = sites.in[site + 1];
    if (following !== undefined) {
      const left = elementCount(sites.in.slice(site + 2));
      const parted = reshaped(graph, values, [-1, done, following, left, out, next]);
      const ordered = graph.op('Transpose', [parted], { perm: [0, 1, 4, 3, 5, 2] });
      values = reshaped(graph, ordered, [-1, next * following]);
      done *= out;
    }
  }
  return reshaped(graph, values, [-1, elementCount(sites.out)]);
}

function reshaped(graph: GraphBuilder, x: Value, shape: readonly number[]): Value {
  return graph.op('Reshape', [x, graph.ints(shape)]);
}

import * as v from 'valibot';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { entry } from '../../../onnx/messages';
import type { GraphProto, ModelProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { emitEncoding } from '../../encodings/emit-encoding';
import { emitPointwise } from '../../encodings/emit-pointwise';
import { encodingSizes } from '../../encodings/encoding-facts';
import { describeEncoding, encodingSpec } from '../../encodings/encoding-spec';
import type { MatrixEncoding } from '../../matrix-encoding';
import type { MatrixProduct } from '../matrices/linear-weights';
import { parseJsonText } from '../../../parse-json';

/** Metadata key of the encodings of a graph's matrices, by weight name. */
const metadataKey = 'espalier.matrices';

const storedEncodings = v.record(
  v.string(),
  v.strictObject({
    out: v.pipe(v.number(), v.integer(), v.minValue(1)),
    in: v.pipe(v.number(), v.integer(), v.minValue(1)),
    form: encodingSpec,
  }),
);
type StoredEncoding = v.InferOutput<typeof storedEncodings>[string];

/** Reads the encodings in the metadata of a graph. Returns an empty map if there are none or they can't be parsed. */
export function readStoredEncodings({
  metadataProps,
}: ModelProto): ReadonlyMap<string, StoredEncoding> {
  const text = metadataProps.find(({ key }) => key === metadataKey)?.value;
  try {
    const stored = v.safeParse(storedEncodings, parseJsonText(text ?? '{}'));
    return new Map(stored.success ? Object.entries(stored.output) : []);
  } catch {
    return new Map();
  }
}

/** Returns the metadata of a model with additional encodings. */
export function encodingMetadata(
  model: ModelProto,
  forms: ReadonlyMap<string, MatrixEncoding>,
): ModelProto['metadataProps'] {
  const stored = new Map(readStoredEncodings(model));
  for (const [id, form] of forms) {
    stored.set(id, { ...encodingSizes(form), form: describeEncoding(form) });
  }
  return [
    ...model.metadataProps.filter(({ key }) => key !== metadataKey),
    entry(metadataKey, JSON.stringify(Object.fromEntries(stored))),
  ];
}

/**
 * Names of nodes of a layer's encoding: /ID/form.PRODUCT/…, or with the axes of a feature map
 * /ID/form-mapAXES.PRODUCT/….
 */
const regionName = /^\/(?<id>.+)\/form(?:-map(?<axes>\d))?\.\d+\//s;

/** True if a node belongs to an encoding of a convolution. */
export function standsForConvolution({ name }: NodeProto): boolean {
  return regionName.exec(name)?.groups?.['axes'] !== undefined;
}

/**
 * Emits an encoded matmul, of rows or of a feature map with this number of axes, with node names that mark the region.
 * @param product index among the matmuls of the layer
 */
export function emitRegion(
  graph: GraphBuilder,
  form: MatrixEncoding,
  x: Value,
  product: number,
  axes?: number,
): Value {
  return axes === undefined
    ? graph.within(`form.${product}`, () => emitEncoding(graph, form, x))
    : graph.within(`form-map${axes}.${product}`, () => emitPointwise(graph, form, x, axes));
}

/**
 * Matmuls emitted by {@link emitRegion}, by layer id. If another tool rewrote some of their nodes, they are treated as
 * ordinary nodes.
 */
export function findRegions(
  outer: GraphProto,
  { initializers }: Pick<OnnxFile, 'initializers'>,
): ReadonlyMap<string, readonly MatrixProduct[]> {
  const regions = new Map<string, { id: string; axes: number | undefined; nodes: NodeProto[] }>();
  const collect = (graph: GraphProto): void => {
    for (const node of graph.node) {
      const { 0: prefix, groups } = regionName.exec(node.name) ?? {};
      if (prefix !== undefined) {
        const { id = '', axes } = groups ?? {};
        const known = regions.get(prefix) ?? {
          id,
          axes: axes === undefined ? undefined : Number(axes),
          nodes: [],
        };
        known.nodes.push(node);
        regions.set(prefix, known);
      }
      nestedGraphs(node).forEach(collect);
    }
  };
  collect(outer);
  const found = new Map<string, MatrixProduct[]>();
  const rewritten = new Set<string>();
  for (const { id, axes, nodes } of regions.values()) {
    const made = new Set(nodes.flatMap(({ output }) => output));
    const read = new Set(nodes.flatMap(({ input }) => input));
    const [input, ...otherInputs] = [...read].filter(
      (name) => name !== '' && !made.has(name) && !initializers.has(name),
    );
    const [last, ...otherLasts] = nodes.filter(({ output }) => !output.some((o) => read.has(o)));
    if (input === undefined || last === undefined || otherInputs.length + otherLasts.length > 0) {
      rewritten.add(id);
      continue;
    }
    const others = nodes.filter((node) => node !== last);
    const map = axes === undefined ? {} : { map: { axes, strides: [] } };
    found.set(id, [...(found.get(id) ?? []), { node: last, input, others, ...map }]);
  }
  rewritten.forEach((id) => found.delete(id));
  return found;
}

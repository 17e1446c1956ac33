import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { dataTypeName, openOnnx } from '../../checkpoints/onnx-file';
import { modelFolderName } from '../../checkpoints/model-file';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { OnnxFile, OnnxInitializer } from '../../checkpoints/onnx-file';
import { manifestName } from '../../document-names';
import { copyWith } from '../../onnx/messages';
import { ModelProtoSchema } from '../../onnx/proto/onnx_pb';
import type { GraphProto, ModelProto, NodeProto, ValueInfoProto } from '../../onnx/proto/onnx_pb';
import { sampleFiles } from '../fingerprint';
import { presentName } from './stream/cache-ports';
import { fillCacheWidths } from './stream/graph-stream';
import { classifyBranch } from './stream/classify';
import { GraphIndex, operatorName } from './graph-index';
import { maxChoices } from './loops/places';
import { unrollLoops } from './loops/unroll-loops';
import { isWeight, lostParts, measure, nodeName, storedBytes } from './stream/measure-sublayer';
import type { LostParts } from './stream/measure-sublayer';
import type { SublayerKind } from '../model-summary';
import type { OnnxPort, OnnxSublayer } from './onnx-summary';
import { findMixtures } from './mixtures/find-mixtures';
import { explainNoSublayers, explainOtherStreams } from './stream/nested-streams';
import { separateTerms } from './stream/parallel-terms';
import { removeBranches } from './edits/removal-nodes';
import { findCandidates } from './stream/residual-candidates';
import { findResidualBranches } from './stream/residual-stream';
import type { ResidualBranch } from './stream/residual-stream';
import { flatten } from './edits/wrapped-graph';
import type { FlatGraph } from './edits/wrapped-graph';
import type { OnnxMode, OnnxModel, StreamOfGraph } from './stream/graph-stream';
import { say } from '../../message';
import type { Message } from '../../message';

/**
 * Opens an ONNX model and finds its sublayers from the graph alone. No weights are read.
 * @throws UserError when the file is damaged.
 */
export async function openOnnxModel(path: string): Promise<OnnxModel> {
  const stored = await openOnnx(path);
  const fingerprint = await fingerprintFile(stored);
  const main = unrollLoops(stored);
  const found = findLayers(main.file, fingerprint);
  if (found.branches.length > 0 && found.place === undefined) {
    return withNotes(found, main.notes);
  }
  const inside = unrollLoops(main.file, true);
  const wrapped = inside.notes.length > 0 ? findLayers(inside.file, fingerprint) : found;
  if (wrapped.branches.length > 0) {
    return withNotes(wrapped, [...main.notes, ...inside.notes]);
  }
  if (found.branches.length > 0) {
    return withNotes(found, main.notes);
  }
  const plain = main.notes.length > 0 ? findLayers(stored, fingerprint) : found;
  // Reasons why unrolled layers can't be removed are reported for the original file.
  const { warnings } = wrapped.summary;
  return inside.notes.length > 0 ? { ...plain, summary: { ...plain.summary, warnings } } : plain;
}

function withNotes(model: OnnxModel, notes: readonly Message[]): OnnxModel {
  const { summary } = model;
  return { ...model, summary: { ...summary, warnings: [...notes, ...summary.warnings] } };
}

/** Finds the sublayers of an open ONNX file. */
export function findLayers(file: OnnxFile, fingerprint: string): OnnxModel {
  const main = { file, ...findStream(file.graph, file.path) };
  const found = main.branches.length > 0 ? undefined : findWrapped(file);
  if (found === undefined || 'problem' in found) {
    const warning = found?.problem ?? explainNoSublayers(file, main.index);
    return { ...main, ...summarize(file, [main], warning, fingerprint) };
  }
  const [first, other] = found.modes;
  const summarized = summarize(file, found.modes, say``, fingerprint);
  return { ...first, ...summarized, ...(other === undefined ? {} : { other }) };
}

function findStream(
  graph: GraphProto,
  path: string,
): Pick<OnnxModel, 'index' | 'branches'> & { readonly node: readonly NodeProto[] } {
  const stored = new GraphIndex(graph, path);
  const candidates = findCandidates(stored);
  const node = separateTerms(graph.node, stored, candidates);
  if (node === undefined) {
    const branches = findResidualBranches(stored, candidates);
    return { index: stored, branches, node: graph.node };
  }
  const index = new GraphIndex(copyWith(graph, { node }), path);
  return { index, branches: findResidualBranches(index), node };
}

/** Both modes for the first If of the main graph whose branches contain layers. */
function findWrapped(
  file: OnnxFile,
):
  | { readonly modes: readonly [OnnxMode, ...OnnxMode[]] }
  | { readonly problem: Message }
  | undefined {
  const choices = file.graph.node.filter(({ opType, domain }) => opType === 'If' && domain === '');
  for (const choice of choices.slice(0, maxChoices)) {
    const modes = flatten(file.graph, choice).map((flat) => readMode(file, flat));
    const [first, ...others] = modes
      .filter(({ branches }) => branches.length > 0)
      .sort((a, b) => inputsRead(a) - inputsRead(b));
    if (first === undefined) {
      continue;
    }
    const ids = (mode: OnnxMode): string =>
      nameSublayers(mode.branches, mode.index, file.model)
        .map(({ id }) => id)
        .join(', ');
    const [other] = others;
    if (other !== undefined && ids(other) !== ids(first)) {
      const label = choice.name === '' ? (choice.output[0] ?? '') : choice.name;
      return {
        problem: say`The branches of If ${label} contain different layers (${ids(first)}; ${ids(other)}), so none can be removed from both. Export them as separate graphs.`,
      };
    }
    return { modes: [first, ...modes.filter((mode) => mode !== first)] };
  }
  return undefined;
}

function readMode(file: OnnxFile, { graph, scopes, wrapping }: FlatGraph): OnnxMode {
  const { index, branches, node } = findStream(graph, file.path);
  const scopeByNode = new Map(node.map((proto, i) => [proto, scopes[i] ?? 'none']));
  return {
    file: { ...file, graph },
    index,
    branches,
    place: { wrapping, scopeOf: (proto) => scopeByNode.get(proto) ?? 'none' },
  };
}

/** Number of graph inputs that a mode reads. */
function inputsRead({ index }: OnnxMode): number {
  return index.inputs.filter(({ name }) => index.consumersOf(name).length > 0).length;
}

function summarize(
  file: OnnxFile,
  modes: readonly [StreamOfGraph, ...StreamOfGraph[]],
  warning: Message,
  fingerprint: string,
): Pick<OnnxModel, 'summary' | 'mixtures'> {
  const initializers = [...file.initializers.values()];
  const dtypes: Record<string, number> = {};
  for (const initializer of initializers) {
    const { dtype } = initializer;
    dtypes[dtype] = (dtypes[dtype] ?? 0) + storedBytes(initializer);
  }
  const { model, graph } = file;
  const opsets = Object.fromEntries(
    model.opsetImport.map(({ domain, version }) => [
      domain === '' ? 'ai.onnx' : domain,
      Number(version),
    ]),
  );
  const ops = countOperators(model, file.liftedConstants);
  const given = graph.input.filter(({ name }) => !file.initializers.has(name)).map(port);
  const inputs = modes.reduce(fillCacheWidths, given);
  const measured = measureAll(modes, inputs, model);
  const { mixtures, warnings } = findMixtures(measured, modes);
  const sublayers = measured.map((sublayer, i) => {
    const mixture = mixtures.get(i);
    const flops = sublayer.flopsPerToken + (mixture?.sharedFlops ?? 0);
    return mixture === undefined
      ? sublayer
      : { ...sublayer, flopsPerToken: flops, experts: mixture.summary };
  });
  const summary = {
    name: modelName(file.path),
    path: file.path,
    architecture: 'onnx' as const,
    parameters: countParameters(initializers),
    bytes: Object.values(dtypes).reduce((sum, bytes) => sum + bytes, 0),
    dtypes,
    blocks: (sublayers.at(-1)?.block ?? -1) + 1,
    sublayers,
    opset: opsets['ai.onnx'] ?? 0,
    opsets,
    ops,
    inputs,
    outputs: graph.output.map(port),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
    fingerprint,
    warnings: sublayers.length > 0 ? [...warnings, ...explainOtherStreams(modes[0])] : [warning],
  };
  return { summary, mixtures };
}

/** Returns the sublayers with costs over all modes. Modes with caches determine which outputs are removed. */
function measureAll(
  modes: readonly [StreamOfGraph, ...StreamOfGraph[]],
  inputs: readonly OnnxPort[],
  model: ModelProto,
): OnnxSublayer[] {
  const [first] = modes;
  const graphs = modes
    .filter(({ branches }) => branches.length > 0)
    .map((mode) => {
      const { live } = removeBranches(mode.index, []);
      return { ...mode, live, names: new Set(modes.length > 1 ? [...live].map(nodeName) : []) };
    });
  // If two graphs use a node name in different sublayers, the first sublayer gets it.
  const listed = new Set<string>();
  return nameSublayers(first.branches, first.index, model).map(
    ({ branch: own, ...sublayer }, i) => {
      const parts = (unwanted: readonly string[]): LostParts[] =>
        graphs.map(({ live, names, branches, ...mode }) =>
          lostParts(branches[i] ?? own, mode, inputs, live, unwanted, names),
        );
      const lost = parts([]);
      const presents = lost.flatMap(({ caches }) => caches.map(({ name }) => presentName(name)));
      const paired = graphs.length > 1 && presents.length > 0;
      const { nodes: names, ...costs } = measure(paired ? parts(presents) : lost);
      const nodes = names.filter((name) => graphs.length === 1 || !listed.has(name));
      nodes.forEach((name) => listed.add(name));
      const leavesParts = own.sum === own.end ? {} : { leavesParts: true };
      return { ...sublayer, ...costs, ...leavesParts, nodes };
    },
  );
}

/** Number of weights. */
export function countParameters(initializers: readonly OnnxInitializer[]): number {
  return initializers.filter(isWeight).reduce((sum, { dims }) => sum + elementCount(dims), 0);
}

/**
 * Assigns block numbers. A new block starts if its kind already occurs in the current one, if the stream changes, and
 * at self-attention. Parallel branches belong to one block.
 */
function nameSublayers(
  branches: readonly ResidualBranch[],
  index: GraphIndex,
  model: ModelProto,
): { id: string; block: number; kind: SublayerKind; branch: ResidualBranch }[] {
  let block = -1;
  const kinds = new Set<SublayerKind>();
  return branches.map((branch, i) => {
    const before = branches[i - 1];
    const { source, nodes, terms } = branch;
    const kind = terms.length > 1 ? 'parallel' : classifyBranch(nodes, index, model.functions);
    const mixesTokens = kind === 'attention' || kind === 'mixer';
    const isFirst = mixesTokens && source !== before?.source;
    if (kinds.has(kind) || (isFirst && kinds.size > 0) || before?.joined !== true) {
      block++;
      kinds.clear();
    }
    kinds.add(kind);
    return { id: `block.${block}.${kind}`, block, kind, branch };
  });
}

function countOperators(model: ModelProto, constants: number): Record<string, number> {
  const counts: Record<string, number> = constants > 0 ? { Constant: constants } : {};
  const count = (nodes: readonly NodeProto[]): void => {
    for (const proto of nodes) {
      const op = operatorName(proto);
      counts[op] = (counts[op] ?? 0) + 1;
      for (const { g, graphs } of proto.attribute) {
        [g, ...graphs].forEach((inner) => {
          count(inner?.node ?? []);
        });
      }
    }
  };
  count(model.graph?.node ?? []);
  for (const { node } of model.functions) {
    count(node);
  }
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Name, dtype and shape of a declared input or output. */
export function port({ name, type }: ValueInfoProto): OnnxPort {
  const value = type?.value;
  if (value?.case !== 'tensorType') {
    return { name, dtype: value?.case ?? 'unknown', shape: undefined };
  }
  const { elemType, shape } = value.value;
  return {
    name,
    dtype: dataTypeName(elemType),
    shape: shape?.dim.map((size) => {
      const known = size.value.value;
      // Some exporters write −1 for sizes that they do not know.
      const isUnknown = known === undefined || (typeof known === 'bigint' && known < 0n);
      return isUnknown ? '?' : typeof known === 'bigint' ? Number(known) : known;
    }),
  };
}

async function fingerprintFile({ model, initializers, files }: OnnxFile): Promise<string> {
  const hash = createHash('sha256');
  hash.update(toBinary(ModelProtoSchema, model));
  for (const { name, offset, length } of initializers.values()) {
    hash.update(`${name} ${offset} ${length}\n`);
  }
  await sampleFiles(hash, files);
  return hash.digest('hex');
}

/** File name, or folder name for common file names, including those that Espalier writes. */
function modelName(path: string): string {
  const name = basename(path, '.onnx');
  const isWritten = existsSync(join(dirname(path), manifestName));
  return name === 'model' || isWritten ? modelFolderName(dirname(path)) : name;
}

import { basename, dirname, extname, join } from 'node:path';
import type { JobContext } from '../../jobs/job';
import type { OnnxLayeredModel } from '../../models/onnx/onnx-layered-model';
import { siblingConfig, configName } from '../../models/onnx/sibling-config';
import type { WidthPrunedFrom } from '../../models/opened-model';
import type { StoredGraph } from '../../models/onnx/edits/stored-graph';
import { isPast } from '../../models/onnx/stream/cache-ports';
import { runWholeGraph } from '../../runtime/whole-graph';
import { countParameters } from '../../models/onnx/onnx-model';
import { removeFromGraph } from './onnx-surgery';
import { genaiConfig, genaiPackage } from './genai-package';
import { widthPrunedConfig, shorterConfig } from './width-pruned-config';
import type { WidthPrunedConfig } from './width-pruned-config';
import { planOnnxData, writeOnnx } from './onnx-writer';
import { describeGraphLoading } from '../preview-file';
import { withChanges } from '../changes';
import type { Changes } from '../changes';
import { describeInGraph } from '../weight-writers';
import type { WeightWriter } from '../weight-writer';
import { say } from '../../message';

/** The graph with these changes, not written yet. */
export async function changedGraph(
  model: OnnxLayeredModel,
  changes: Changes,
): Promise<StoredGraph> {
  const { sublayers } = model.summary;
  const removedIds = new Set(changes.removed);
  const branches = sublayers.flatMap(({ id }, index) => (removedIds.has(id) ? [index] : []));
  const remainingExperts = sublayers.flatMap(({ id }, index) => {
    const remaining = changes.remainingExperts.get(id);
    return remaining === undefined ? [] : [[index, remaining] as const];
  });
  const { source } = withChanges(model, changes);
  return removeFromGraph(source, new Set(branches), new Map(remainingExperts));
}

/** The graph of an .onnx file without some of its branches and with other matrices, under its own name. */
export async function graphWriter(
  model: OnnxLayeredModel,
  changes: Changes,
  widthPruned: WidthPrunedFrom | undefined,
  context: JobContext,
): Promise<WeightWriter> {
  const { summary } = model;
  const { source } = model;
  const left = await changedGraph(model, changes);
  const name = basename(source.file.path);
  // Caches have the shape [batch, heads, positions, size] for every kind of attention.
  const keyHeads = source.summary.inputs.flatMap(({ name: input, shape }) => {
    const heads = isPast(input) && left.inputNames.has(input) && shape?.length === 4 && shape[1];
    return typeof heads === 'number' ? [heads] : [];
  });
  const found = await genaiPackage(dirname(source.file.path), name, left.inputNames, keyHeads);
  const genai = found === undefined || 'problem' in found ? undefined : found;
  if (found !== undefined && 'problem' in found) {
    context.warn(found.problem);
  }
  const { text: configText } = await siblingConfig(dirname(source.file.path));
  const removed = new Set(changes.removed);
  const shorter = configText && shorterConfig(configText, summary, removed);
  const config: WidthPrunedConfig | undefined =
    shorter === undefined || (widthPruned === undefined && shorter === configText)
      ? undefined
      : widthPruned === undefined
        ? { text: shorter, problem: undefined }
        : widthPrunedConfig(shorter, widthPruned, removed);
  if (config?.problem !== undefined) {
    context.warn(config.problem);
  }
  const inputNames = genai?.names ?? new Map<string, string>();
  const graph = left.renamed(inputNames);
  const names = { graph: name, data: `${basename(name, extname(name))}.onnx_data` };
  // The graph contains its encodings, including earlier ones.
  const metadata = describeInGraph(summary, { ...changes, matrices: new Map() });
  return {
    bytes: planOnnxData(graph).bytes,
    parameters: countParameters(graph.initializers),
    loadsWith:
      genai === undefined
        ? describeGraphLoading(names.graph, names.data)
        : say`onnxruntime-genai: the folder; its caches are numbered from 0 in ${names.graph} and ${genaiConfig}.`,
    texts: {
      ...(genai === undefined ? {} : { [genaiConfig]: genai.text }),
      ...(config === undefined ? {} : { [configName]: config.text }),
    },
    leavesOut: config === undefined ? [genaiConfig] : [genaiConfig, configName],
    write: async (folder, copier) => writeOnnx(folder, graph, metadata, copier, names),
    output: async (folder, input, mode) => {
      context.progress({
        stage: say`Checking the written model`,
        done: 0,
        total: 1,
        unit: 'steps',
      });
      return runWholeGraph(join(folder, names.graph), mode, input, inputNames);
    },
  };
}

import { dirname } from 'node:path';
import * as v from 'valibot';
import { isGguf, locateOnnx, findProjectors } from '../checkpoints/model-folder';
import { findSourceGrid } from '../inspect/source-grid';
import type { SourceGrid } from '../inspect/source-grid';
import type { Capabilities } from '../models/capabilities';
import type { ModelSummary } from '../models/model-summary';
import { openOnnxModel } from '../models/onnx/onnx-model';
import type { Projector } from '../checkpoints/model-folder';
import { UserError } from '../user-error';
import { defineOperation } from './operation';
import { modelField } from './shared-fields';

/** Structure of a model, and its capabilities if it can be opened. */
export type Inspection = ModelSummary & {
  readonly capabilities?: Capabilities;
  /** Projectors for images or audio next to a GGUF file, if there are any. */
  readonly projectors?: readonly Projector[];
  /** The quantization type that the weights have or had; absent if they were not quantized. */
  readonly grid?: SourceGrid;
};

export const inspect = defineOperation({
  id: 'inspect',
  title: 'Inspect Model',
  verb: 'Inspecting',
  summary: 'Show the structure of a model, from its headers and a few rows of its weights.',
  group: 'inspect',
  fields: { model: modelField },
  rules: [],
  result: v.looseObject({
    architecture: v.string(),
    parameters: v.number(),
    bytes: v.number(),
    blocks: v.number(),
    sublayers: v.array(
      v.looseObject({
        id: v.string(),
        block: v.number(),
        kind: v.string(),
        parameters: v.number(),
        bytes: v.number(),
      }),
    ),
    opset: v.optional(v.number()),
    projectors: v.optional(
      v.array(v.object({ name: v.string(), bytes: v.number(), types: v.array(v.string()) })),
    ),
    grid: v.optional(
      v.object({
        type: v.string(),
        isStored: v.boolean(),
        matrices: v.number(),
        onGrid: v.number(),
        lossless: v.array(v.string()),
        added: v.record(v.string(), v.number()),
      }),
    ),
  }),
  trust: 'inspect',
  run: async ({ model }, { environment }): Promise<Inspection> => {
    try {
      const opened = await environment.open(model);
      const { summary, capabilities } = opened;
      const grid = await findSourceGrid(opened);
      const projectors = isGguf(summary.path) ? await findProjectors(dirname(summary.path)) : [];
      return {
        ...summary,
        capabilities,
        ...(projectors.length === 0 ? {} : { projectors }),
        ...(grid === undefined ? {} : { grid }),
      };
    } catch (error) {
      // A graph that cannot be cut into layers still has a structure.
      const onnx = error instanceof UserError ? await locateOnnx(model) : undefined;
      const structure =
        onnx === undefined ? undefined : await openOnnxModel(onnx).catch(() => undefined);
      if (structure === undefined) {
        throw error;
      }
      return structure.summary;
    }
  },
});

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { canTypeLayers } from '../../../extension/core/pipelines/gguf-facts';
import { listOutputs } from '../../../extension/core/export/writable';
import { predictPlan } from '../../../extension/core/operations/budget-fields';
import { computeFront } from '../../../extension/core/operations/pareto';
import {
  checkPlan,
  writeEvaluations,
} from '../../../extension/core/operations/questions/check-plan';
import { chooseLayers } from '../../../extension/core/operations/questions/choose-layers';
import { compareModels } from '../../../extension/core/inspect/compare-models';
import { describeModel, writeStructure } from '../../../extension/core/inspect/describe-model';
import { Diagrams } from '../../../extension/core/inspect/flow/diagrams';
import { tensorStatistics } from '../../../extension/core/inspect/tensor-statistics';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { ExplorerState } from '../../../extension/protocol/explorer';
import type { QuestionRequests } from '../../../extension/core/operations/questions/questions';
import { ExplorerSession } from '../../../extension/services/sessions/explorer-session';
import type { Inspector } from '../../../extension/services/sessions/explorer-session';
import { describeWidthPruned } from '../../../extension/core/models/width-pruning/describe-width-pruned';
import { hasChatTemplate } from '../../../extension/core/data/chat-template';
import { reportMarkdown } from '../../../extension/core/operations/report';
import { offerSizes } from '../../../extension/core/operations/size-choices';
import { showDocument } from '../../../extension/core/documents/document-types';
import { viewEvolution } from '../../../extension/core/symbolic/evolution/evolution-view';
import { RequestCancelled } from '../../../extension/services/worker/worker-errors';
import { fixture } from '../fixtures';

const model = fixture('llama-gqa-untied');

/** The inspector's work in this process. `gate` holds back comparisons until it is resolved. */
function inspectorInProcess(gate: Promise<void> = Promise.resolve()) {
  const asked: string[] = [];
  const diagrams = new Diagrams();
  const work: {
    [M in keyof QuestionRequests]: (
      request: QuestionRequests[M][0],
      token: { readonly isCancellationRequested: boolean },
    ) => Promise<QuestionRequests[M][1]>;
  } = {
    document: async ({ id, file, text }) => showDocument(id, file, text),
    documentReport: async ({ file }) => reportMarkdown(file),
    keepEvaluations: writeEvaluations,
    widthPruned: async ({ model: path, ...changes }) =>
      describeWidthPruned(await openModelFiles(path), changes),
    exportStructure: async (request) => writeStructure(request, openModelFiles),
    viewEvolution: async (state) => Promise.resolve(viewEvolution(state)),
    describe: async (request) => describeModel(request.model),
    hasChatTemplate: async ({ model: path }) => hasChatTemplate(await openModelFiles(path)),
    canTypeLayers: async ({ model: path }) => canTypeLayers(await openModelFiles(path)),
    statistics: async (request, token) => tensorStatistics(request.tensor, token),
    diagram: async ({ model: path, open, ...options }) =>
      diagrams.draw(path, new Set(open), options),
    compare: async (request, token) => {
      await Promise.race([gate, cancelled(token)]);
      return compareModels(request, { ...unattended, cancellation: token });
    },
    open: async (request) => {
      const { summary, capabilities } = await openModelFiles(request.model);
      return { summary, capabilities };
    },
    outputs: async (request) => listOutputs(await openModelFiles(request.model), request),
    sizeChoices: async ({ model: path, runtime }) =>
      offerSizes(await openModelFiles(path), { for: runtime }, { costsFolder: '' }, unattended),
    chooseLayers: async (request) => chooseLayers(await openModelFiles(request.model), request),
    checkPlan: async (request) => checkPlan(request, openModelFiles),
    front: computeFront,
    predictPlan,
    checkModels: async () => Promise.resolve(),
    estimate: async () => Promise.resolve(null),
  };
  const inspector: Inspector = {
    request: async (method, request, watch) => {
      asked.push(method);
      try {
        return await work[method](request, watch?.token ?? { isCancellationRequested: false });
      } catch (error) {
        throw error instanceof CancelledError ? new RequestCancelled() : error;
      }
    },
  };
  return { inspector, asked };
}

async function cancelled(token: { readonly isCancellationRequested: boolean }): Promise<void> {
  while (!token.isCancellationRequested) {
    await sleep(2);
  }
}

describe('a session of the explorer', () => {
  const sessions: ExplorerSession[] = [];
  const start = (path: string, gate?: Promise<void>) => {
    const { inspector, asked } = inspectorInProcess(gate);
    const session = new ExplorerSession(inspector, path, (error) => String(error));
    const heard: Partial<ExplorerState>[] = [];
    session.changed.listen((fields) => heard.push(session.read(fields)));
    session.grown.listen(({ field, key }) => {
      heard.push({ [field]: session.readEntries(field, new Set([key])) });
    });
    sessions.push(session);
    return { session, heard, asked };
  };
  afterEach(() => {
    for (const session of sessions.splice(0)) {
      session.dispose();
    }
  });

  it('sends the structure first, and all of it again to a new webview', async () => {
    const { session, heard } = start(model);
    expect(session.snapshot().model).toBeUndefined();
    await session.open();
    expect(heard.map(({ model: known }) => known?.blocks.length)).toEqual([4]);
    expect(session.model?.blocks).toHaveLength(4);
    await session.measure('model.norm.weight');
    await session.compare(fixture('qwen3'), false);
    expect(session.snapshot()).toMatchObject({
      model: { family: 'llama' },
      statistics: { 'model.norm.weight': { kind: 'known' } },
      comparison: { kind: 'known' },
    });
  });

  it('explains why a model cannot be opened, and retries', async () => {
    const { session, heard } = start('no-such-model');
    await session.open();
    await session.open();
    expect(heard.map(({ failure }) => typeof failure)).toEqual(['string']);
    expect(session.model).toBeUndefined();
    expect(session.snapshot()).toMatchObject({ model: undefined, comparison: undefined });
  });

  it('reads each tensor once, and none that the model does not have', async () => {
    const { session, heard, asked } = start(model);
    await session.open();
    await Promise.all([
      session.measure('model.norm.weight'),
      session.measure('model.norm.weight'),
      session.measure('../../etc/passwd'),
    ]);
    await session.measure('model.norm.weight');
    expect(asked.filter((method) => method === 'statistics')).toHaveLength(1);
    const states = heard.flatMap(({ statistics }) => statistics?.['model.norm.weight'] ?? []);
    expect(states.map(({ kind }) => kind)).toEqual(['reading', 'known']);
  });

  it('compares, then the weights too', async () => {
    const { session } = start(model);
    await session.open();
    await session.compareWeights();
    expect(session.snapshot().comparison).toBeUndefined();
    await session.compare(model, false);
    await session.compareWeights();
    const state = session.snapshot().comparison;
    expect(state?.kind === 'known' && state.comparison.weights?.equal).toBeGreaterThan(0);
    expect(session.compared).toEqual({ against: model, weights: true });
    session.endComparison();
    expect(session.snapshot().comparison).toBeUndefined();
    expect(session.compared).toBeUndefined();
  });

  it('discards a comparison that is ended or replaced', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const { session } = start(model, gate);
    await session.open();
    const ended = session.compare(model, true);
    session.endComparison();
    await ended;
    expect(session.snapshot().comparison).toBeUndefined();
    const first = session.compare(fixture('qwen3'), true);
    const second = session.compare(fixture('gpt2'), false);
    open();
    await Promise.all([first, second]);
    const state = session.snapshot().comparison;
    expect(state?.kind === 'known' && state.comparison.against.name).toBe('gpt2');
  });

  it('explains why a comparison failed', async () => {
    const { session } = start(model);
    await session.open();
    await session.compare('no-such-model', false);
    expect(session.snapshot().comparison).toMatchObject({
      kind: 'failed',
      against: 'no-such-model',
    });
  });
});

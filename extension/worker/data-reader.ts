import { ScoredData, summarizeDataset } from '../core/datadiet/scores/scored-data';
import type { ScoredSource } from '../core/datadiet/scores/scored-data';
import type { DataRequests } from '../protocol/data';
import type { dataWriter } from './data-writer';
import { serve } from './serve';

/** Data sets that are kept open: those of the maps looked at last. */
const maxOpen = 2;
/** Time without requests after which scores are closed. */
const idleMilliseconds = 10 * 60 * 1000;

/** Open scores by their source, the one used last at the end. */
const open = new Map<string, Promise<ScoredData>>();
let idle: NodeJS.Timeout | undefined;

function sourceKey({ scores, data }: ScoredSource): string {
  return JSON.stringify([scores, data]);
}

async function scored({ scores, data }: ScoredSource, anew = false): Promise<ScoredData> {
  const source = { scores, ...(data === undefined ? {} : { data }) };
  const key = sourceKey(source);
  const known = anew ? undefined : open.get(key);
  const opening = known ?? ScoredData.open(source);
  open.delete(key);
  open.set(key, opening);
  const [oldest] = open.keys();
  if (open.size > maxOpen && oldest !== undefined) {
    open.delete(oldest);
  }
  clearTimeout(idle);
  idle = setTimeout(() => {
    open.clear();
  }, idleMilliseconds);
  idle.unref();
  try {
    return await opening;
  } catch (error) {
    if (open.get(key) === opening) {
      open.delete(key);
    }
    throw error;
  }
}

/** Loaded when first asked: operations bring ONNX Runtime along, which is never run here. */
const writer = async (): Promise<typeof dataWriter> => (await import('./data-writer')).dataWriter;

/** A separate process, so that large datasets block neither the editor nor the model explorer. */
serve<DataRequests>({
  summarize: async ({ data, options }) => summarizeDataset(data, options),
  map: async (source) => (await scored(source, true)).map(),
  data: async (source) => (await scored(source)).data(),
  examples: async (request) => (await scored(request)).examples(request.query),
  details: async (request) => (await scored(request)).details(request.index, request.similarity),
  count: async (request) => (await scored(request)).count(request.choice),
  'export-data': async (request, context) => (await writer())['export-data'](request, context),
  'select-data': async (request, context) => (await writer())['select-data'](request, context),
  'convert-scores': async (request, context) =>
    (await writer())['convert-scores'](request, context),
});

import { fingerprint, readTextWindows } from '../../data/calibration';
import type { TextScores } from '../../data/text-scores';
import type { JobContext } from '../../jobs/job';
import { resumable } from '../../jobs/saved-parts';
import { writeDocument } from '../../jobs/write-document';
import type { OpenedModel } from '../../models/opened-model';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { requireMemory } from '../../runtime/memory-shares';
import { requireNextTokens } from '../../runtime/next-token';
import type { TokenTerm } from '../../runtime/token-sums';
import { onnxRuntimeVersion } from '../../runtime/device';
import { wholeWindow, windowSums, windowSumsSchema } from '../../runtime/windows';
import { say } from '../../message';

/** Text, model and output of text scoring. */
export interface ScoreTextJob {
  readonly model: OpenedModel;
  /** Path of a .txt, .md or .jsonl file; the bundled text by default. */
  readonly file?: string;
  /** Tokens per window. */
  readonly length: number;
  /** Maximum number of windows from the start of the text; all by default. */
  readonly windows?: number;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Path for the scores; undefined to only return them. */
  readonly out: string | undefined;
  /** Path of the journal, from which a stopped run resumes. */
  readonly journal: string;
}

const definition =
  'EL2N ‖softmax(z) − y‖₂ of each token against the next one of the text, mean over the predicted tokens of a window';

/** EL2N of a token, with the next token as class (Paul et al. 2021, arXiv 2107.07075, definition 2.2). */
const el2n: TokenTerm = {
  key: 'el2n',
  emit: (graph: GraphBuilder, logits: Value, targets: Value): Value =>
    graph.within('el2n', () => {
      const probabilities = graph.op('Softmax', [logits], { axis: -1 });
      const size = graph.op('Shape', [logits]);
      const vocabulary = graph.op('Squeeze', [
        graph.op('Slice', [size, graph.ints([2]), graph.ints([3])]),
        graph.ints([0]),
      ]);
      const ids = graph.op('Range', [graph.ints([0], []), vocabulary, graph.ints([1], [])]);
      const isNext = graph.op('Equal', [graph.op('Unsqueeze', [targets, graph.ints([2])]), ids]);
      // Computes p − y before squaring: 1 − 2pᵧ + Σp² would lose precision for small norms.
      const error = graph.op('Where', [
        isNext,
        graph.op('Sub', [probabilities, graph.scalar(1)]),
        probabilities,
      ]);
      const norm = graph.op('ReduceL2', [error], { axes: [-1], keepdims: 0 });
      const known = graph.op('GreaterOrEqual', [targets, graph.ints([0], [])]);
      return graph.op('Where', [known, norm, graph.scalar(0)]);
    }),
};

/**
 * Scores each window of a text by the model's EL2N. Resumes an earlier run of the same job.
 * @throws UserError if text and model don't fit.
 */
export async function scoreText(
  job: ScoreTextJob,
  environment: { readonly bundledText: string; readonly version: string },
  context: JobContext,
): Promise<TextScores> {
  const { model } = job.model;
  requireNextTokens(model);
  const windows = await readTextWindows(
    { file: job.file ?? environment.bundledText, length: job.length, most: job.windows },
    model,
  );
  const { name, path } = model.summary;
  const text = {
    source: job.file ?? 'bundled',
    length: job.length,
    fingerprint: fingerprint(windows),
  };
  const device = await resolveDevice(job.device, (message) => {
    context.warn(message);
  });
  requireMemory(model, job.memoryBytes, device);
  const executor = new LayeredExecutor(model, device, job.memoryBytes);
  const started = performance.now();
  const read = windows.map((ids) => wholeWindow(model, ids));
  const targets = read[0]?.targets.length ?? 0;
  const place = async (): Promise<string> => Promise.resolve(job.journal);
  try {
    const { version } = environment;
    return await resumable({ place, out: job.out, version }, context, async (saved) => {
      await saved.bind([el2n.key, model.summary.fingerprint, text]);
      const sums = await windowSums(
        executor,
        read,
        {
          terms: [el2n],
          stage: say`Scoring text with ${name}`,
          saved: saved.part('windows', windowSumsSchema),
        },
        context,
      );
      const document: TextScores = {
        format: 'espalier.textscores',
        version: 1,
        model: { name, path, fingerprint: model.summary.fingerprint },
        text,
        score: 'el2n',
        definition,
        scores: sums.map(([sum = Number.NaN]) => sum / targets),
        seconds: (performance.now() - started) / 1000,
        created: new Date().toISOString(),
        versions: {
          espalier: version,
          onnxruntime: onnxRuntimeVersion(),
          node: process.versions.node,
        },
      };
      if (job.out !== undefined) {
        await writeDocument(job.out, document);
      }
      return document;
    });
  } finally {
    await executor.dispose();
  }
}

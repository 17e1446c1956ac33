import * as v from 'valibot';
import { withRegularFile, linesOf } from '../../regular-file';
import { parseJsonLine } from '../../data/text-file';
import { writeText } from '../../jobs/write-document';
import { UserError } from '../../user-error';
import { bareScores } from './score-document';
import type { ScoreDocument } from './score-document';
import { say } from '../../message';

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const lineSchema = v.looseObject({
  guid: v.union([v.string(), v.number()]),
  confidence: share,
  variability: share,
  correctness: v.pipe(v.number(), v.minValue(0)),
  gold: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
});

/** Number of bytes read to detect the format: more than one line. */
const headBytes = 16 * 1024;

const remedy = say`Lines are {"guid": 0, "confidence": 0.9, "variability": 0.1, "correctness": 1, "gold": 1}; gold may be missing in all.`;

/**
 * Writes td_metrics.jsonl as the authors of dataset cartography do (Swayamdipta et al. 2020, arXiv 2009.10795): one
 * line per example, with the index in the dataset as `guid` and `index`. `correctness` is the share of epochs in which
 * the label was predicted; `gold` is the label, if known.
 * @throws UserError if the document has no training dynamics.
 */
export async function writeCartographyMetrics(
  path: string,
  { confidence, variability, correctness, labels }: ScoreDocument,
): Promise<void> {
  if (confidence.length === 0) {
    throw new UserError(
      'epoch-statistics-missing',
      say`These scores have no statistics by epoch.`,
      { file: path, remedy: say`Choose another format, or score the dataset here.` },
    );
  }
  const lines = confidence.map((mean, index) => {
    const gold = labels[index];
    return `${JSON.stringify({
      guid: index,
      index,
      threshold_closeness: mean * (1 - mean),
      confidence: mean,
      variability: variability[index],
      correctness: correctness[index],
      ...(gold === undefined ? {} : { gold }),
    })}\n`;
  });
  await writeText(path, lines.join(''));
}

/** True if the file contains cartography statistics, not logits. */
export async function holdsCartographyMetrics(file: string): Promise<boolean> {
  return withRegularFile(file, async ({ handle }) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    const head = buffer.toString('utf8', 0, bytesRead);
    return /"confidence"\s*:/.test(head) && !/"logits_epoch_\d+"\s*:/.test(head);
  });
}

/**
 * Reads cartography statistics, whose order must be that of the dataset. The score is 1 − confidence: a low probability
 * of the label means a hard example.
 * @throws UserError naming the file and the line.
 */
export async function readCartographyMetrics(file: string): Promise<ScoreDocument> {
  const [confidence, variability, counts]: [number[], number[], number[]] = [[], [], []];
  const labels: number[] = [];
  const seen = new Set<string>();
  let number = 0;
  for await (const line of filledLinesOf(file)) {
    number++;
    const field = `example ${number}`;
    const result = v.safeParse(lineSchema, parseJsonLine(line, { file, field, remedy }));
    if (!result.success) {
      const [issue] = result.issues;
      const at = v.getDotPath(issue) ?? '';
      throw new UserError('field-invalid', say`${issue.message}.`, {
        file,
        field: `${field}: ${at}`,
        remedy,
      });
    }
    const { guid, gold, ...known } = result.output;
    if (seen.has(String(guid))) {
      throw new UserError('guid-duplicate', say`Example ${guid} occurs twice.`, {
        file,
        field,
        remedy,
      });
    }
    seen.add(String(guid));
    confidence.push(known.confidence);
    variability.push(known.variability);
    counts.push(known.correctness);
    if (gold !== undefined) {
      labels.push(gold);
    }
  }
  if (labels.length !== 0 && labels.length !== confidence.length) {
    throw new UserError('labels-incomplete', say`Some examples have a label, others don't.`, {
      file,
      remedy,
    });
  }
  // The authors count epochs instead of storing shares.
  const most = counts.reduce((high, count) => Math.max(high, count), 1);
  return {
    ...bareScores(
      '1 − confidence',
      confidence.map((mean) => 1 - mean),
    ),
    classNames: Array.from(
      { length: labels.reduce((high, label) => Math.max(high, label + 1), 0) },
      (_, i) => String(i),
    ),
    labels,
    labelScores: confidence,
    confidence,
    variability,
    correctness: counts.map((count) => count / most),
  };
}

async function* filledLinesOf(file: string): AsyncGenerator<string> {
  for await (const line of linesOf(file)) {
    if (line.trim() !== '') {
      yield line;
    }
  }
}

import type { FileHandle } from 'node:fs/promises';
import { say } from '../message';
import type { RegularFile } from '../regular-file';
import { UserError } from '../user-error';

/*
 * Files of log-probabilities that `llama-perplexity --kl-divergence-base` writes and reads (llama.cpp,
 * tools/perplexity/perplexity.cpp). Little-endian:
 *
 *   "_logits_"  uint32 length  int32 vocabulary  int32 chunks  int32 tokens[chunks · length]
 *   for each chunk, for each position from length / 2 up to length − 2:
 *     float32 scale  float32 least  uint16 steps[vocabulary], filled up to an even number
 *
 * log p of a token is least + scale · steps. Logits more than 16 below the largest have 0 steps.
 */

/** Magic bytes of a file of log-probabilities. */
export const baseMagic = '_logits_';
const headerBytes = baseMagic.length + 12;
/** The scale and the least value, as units of 16 bits. */
const rowHeader = 4;
/** Logits further below the largest than this are not told apart. */
const range = 16;
const mostSteps = 65_535;
/** Tokens less likely than e to this power don't count toward a divergence, as in llama.cpp. */
const leastLogProbability = -16;

/** Text and tokenization of a file of log-probabilities. */
export interface BaseText {
  /** Tokens of a chunk; predictions of its second half count. */
  readonly length: number;
  readonly vocabulary: number;
  readonly chunks: readonly Int32Array[];
}

/** First position of a chunk whose prediction counts. */
export const firstCounted = (length: number): number => Math.floor(length / 2);

const countRows = (length: number): number => length - 1 - firstCounted(length);

/** Units of 16 bits of a row. */
const rowUnits = (vocabulary: number): number => 2 * Math.ceil(vocabulary / 2) + rowHeader;

/** Bytes of a file of log-probabilities. */
export const baseBytes = (chunks: number, length: number, vocabulary: number): number =>
  headerBytes + chunks * (4 * length + 2 * countRows(length) * rowUnits(vocabulary));

/**
 * Reads the head of a file of log-probabilities.
 * @throws UserError naming the file if it is not one, or is cut off
 */
export async function readBaseText({ handle, file, size }: RegularFile): Promise<BaseText> {
  const refuse = (): UserError =>
    new UserError('log-probabilities-invalid', say`The file of log-probabilities is incomplete.`, {
      file,
      remedy: say`Write one with \`espalier evaluate ORIGINAL --save-base FILE\` or \`llama-perplexity --kl-divergence-base FILE\`.`,
    });
  const head = Buffer.alloc(headerBytes);
  const { bytesRead } = await handle.read(head, 0, headerBytes, 0);
  const [length, vocabulary, count] = [8, 12, 16].map((at) => head.readInt32LE(at)) as [
    number,
    number,
    number,
  ];
  if (
    bytesRead < headerBytes ||
    head.toString('latin1', 0, baseMagic.length) !== baseMagic ||
    length < 4 ||
    vocabulary < 1 ||
    count < 1 ||
    size !== baseBytes(count, length, vocabulary)
  ) {
    throw refuse();
  }
  const ids = Buffer.alloc(4 * count * length);
  await readFully(handle, ids, headerBytes);
  const all = Int32Array.from({ length: count * length }, (_, i) => ids.readInt32LE(4 * i));
  if (all.some((id) => id < 0 || id >= vocabulary)) {
    throw refuse();
  }
  const chunks = Array.from({ length: count }, (_, i) => all.slice(i * length, (i + 1) * length));
  return { length, vocabulary, chunks };
}

/** Log-probabilities of a chunk: a row for each counted position. */
export async function readBaseRows(
  { handle }: Pick<RegularFile, 'handle'>,
  { length, vocabulary, chunks }: BaseText,
  chunk: number,
): Promise<BaseRow[]> {
  const units = rowUnits(vocabulary);
  const bytes = Buffer.alloc(2 * countRows(length) * units);
  const start = headerBytes + 4 * chunks.length * length;
  await readFully(handle, bytes, start + chunk * bytes.length);
  return Array.from({ length: countRows(length) }, (_, row) => {
    const at = 2 * row * units;
    return {
      scale: bytes.readFloatLE(at),
      least: bytes.readFloatLE(at + 4),
      steps: new Uint16Array(bytes.buffer, bytes.byteOffset + at + 2 * rowHeader, vocabulary),
    };
  });
}

/** Log-probabilities of one position, in steps. */
export interface BaseRow {
  readonly scale: number;
  readonly least: number;
  readonly steps: Uint16Array;
}

/** The bytes in front of the rows. */
export function encodeBaseHead({ length, vocabulary, chunks }: BaseText): Buffer {
  const head = Buffer.alloc(headerBytes + 4 * chunks.length * length);
  head.write(baseMagic, 'latin1');
  head.writeInt32LE(length, 8);
  head.writeInt32LE(vocabulary, 12);
  head.writeInt32LE(chunks.length, 16);
  let at = headerBytes;
  for (const chunk of chunks) {
    for (const id of chunk) {
      at = head.writeInt32LE(id, at);
    }
  }
  return head;
}

/**
 * The bytes of a row, from the logits of one position.
 * @returns also log Σ exp z
 */
export function encodeBaseRow(logits: Float32Array): {
  readonly bytes: Buffer;
  readonly logSum: number;
} {
  const bytes = Buffer.alloc(2 * rowUnits(logits.length));
  const { largest, logSum } = summarize(logits);
  const smallest = logits.reduce((least, z) => Math.min(least, z), Number.POSITIVE_INFINITY);
  const least = Math.max(smallest, largest - range);
  const scale = Math.fround((largest - least) / mostSteps);
  bytes.writeFloatLE(scale, 0);
  bytes.writeFloatLE(least - logSum, 4);
  if (scale > 0) {
    const steps = new Uint16Array(bytes.buffer, bytes.byteOffset + 2 * rowHeader, logits.length);
    for (const [i, z] of logits.entries()) {
      steps[i] = z > least ? Math.min(mostSteps, Math.round((z - least) / scale)) : 0;
    }
  }
  return { bytes, logSum };
}

/** Predictions of two models at one position. */
export interface ComparedRow {
  /** −log p(next token) in nats, of the base. */
  readonly before: number;
  readonly after: number;
  /** KL(base‖model) in nats. */
  readonly divergence: number;
  /** 1 if both rank the same token first, else 0. */
  readonly same: number;
}

/** Compares logits of a model with the log-probabilities of the base, as llama-perplexity does. */
export function compareWithBase(
  { scale, least, steps }: BaseRow,
  logits: Float32Array,
  next: number,
): ComparedRow {
  const { best, logSum } = summarize(logits);
  let [divergence, bestOfBase, most] = [0, 0, -1];
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] ?? 0;
    if (step > most) {
      [bestOfBase, most] = [i, step];
    }
    const logProbability = least + scale * step;
    if (logProbability > leastLogProbability) {
      divergence +=
        Math.exp(logProbability) * (logProbability - (logits[i] ?? Number.NaN) + logSum);
    }
  }
  return {
    before: -(least + scale * (steps[next] ?? Number.NaN)),
    after: logSum - (logits[next] ?? Number.NaN),
    divergence,
    same: best === bestOfBase ? 1 : 0,
  };
}

/** Largest logit, its index, and log Σ exp z. */
function summarize(logits: Float32Array): { best: number; largest: number; logSum: number } {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] ?? 0) > (logits[best] ?? 0)) {
      best = i;
    }
  }
  const largest = logits[best] ?? Number.NaN;
  let sum = 0;
  for (const z of logits) {
    sum += Math.exp(z - largest);
  }
  return { best, largest, logSum: largest + Math.log(sum) };
}

async function readFully(handle: FileHandle, target: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) {
      throw new RangeError('the file became shorter while it was read');
    }
    done += bytesRead;
  }
}

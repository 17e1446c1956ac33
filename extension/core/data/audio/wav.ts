import { readWholeFile } from '../../regular-file';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { Message } from '../../message';

/** Mono sound. */
export interface Sound {
  /** Sampling rate in Hz. */
  readonly rate: number;
  /** Samples between −1 and 1. */
  readonly samples: Float32Array;
}

/** Maximum file size in bytes: more than an hour at 48 kHz. */
const maxBytes = 2 ** 29;

const [pcm, ieeeFloat, extensible] = [1, 3, 0xff_fe];

const empty = say`The file has no format chunk or no samples.`;
const damaged = say`The file is damaged or incomplete: save the audio again.`;
const convert = say`Convert it to 16-bit PCM with one channel: "ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav".`;

/**
 * Reads a mono WAVE file with 16-bit integers or 32-bit floats (RIFF, IBM and Microsoft 1991).
 * @throws UserError naming the file and the invalid field of its format.
 */
export async function readWav(file: string): Promise<Sound> {
  return parseWav(await readWholeFile(file, maxBytes, say`Split it into shorter files.`), file);
}

/** Parses the contents of a WAVE file. */
export function parseWav(bytes: Uint8Array, file: string): Sound {
  const fault = (code: ErrorCode, problem: Message, remedy: Message, field?: string): UserError =>
    new UserError(code, problem, { file, ...(field === undefined ? {} : { field }), remedy });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const textAt = (offset: number): string =>
    String.fromCharCode(...bytes.subarray(offset, offset + 4));
  if (bytes.length < 12 || textAt(0) !== 'RIFF' || textAt(8) !== 'WAVE') {
    throw fault('wav-signature-missing', say`This is not a WAVE file.`, convert);
  }
  const chunks = new Map<string, DataView>();
  // Chunks start at even offsets.
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > bytes.length) {
      throw fault(
        'wav-truncated',
        say`The chunk goes past the end of the file.`,
        damaged,
        textAt(at),
      );
    }
    chunks.set(textAt(at), new DataView(bytes.buffer, bytes.byteOffset + at + 8, length));
    at += 8 + length + (length % 2);
  }
  const [format, data] = [chunks.get('fmt '), chunks.get('data')];
  if (format === undefined || format.byteLength < 16 || data === undefined) {
    throw fault('wav-empty', empty, damaged);
  }
  const tag = format.getUint16(0, true);
  const isExtended = tag === extensible && format.byteLength >= 26;
  const kind = isExtended ? format.getUint16(24, true) : tag;
  const [channels, rate, bits] = [
    format.getUint16(2, true),
    format.getUint32(4, true),
    format.getUint16(14, true),
  ];
  if (channels !== 1) {
    throw fault(
      'wav-channels-unsupported',
      say`The file has ${channels} channels, but the model expects one.`,
      convert,
      'channels',
    );
  }
  const isFloat = kind === ieeeFloat && bits === 32;
  if (!isFloat && !(kind === pcm && bits === 16)) {
    throw fault(
      'wav-encoding-unsupported',
      say`Samples of ${bits} bits in format ${kind} are not supported.`,
      convert,
      'format',
    );
  }
  const count = Math.trunc((data.byteLength * 8) / bits);
  if (count === 0) {
    throw fault('wav-empty', empty, damaged);
  }
  const samples = Float32Array.from({ length: count }, (_, i) =>
    isFloat ? data.getFloat32(4 * i, true) : data.getInt16(2 * i, true) / 2 ** 15,
  );
  return { rate, samples };
}

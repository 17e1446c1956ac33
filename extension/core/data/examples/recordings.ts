import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import * as v from 'valibot';
import { readSmallText } from '../../regular-file';
import type { InputPort, Transcript } from '../../models/layered-model';
import { UserError, inFile } from '../../user-error';
import { loadSpectrogramPreprocessor } from '../audio/preprocess';
import { readWav } from '../audio/wav';
import { parseObjectLine } from '../text-file';
import { listFiles } from '../list-files';
import { loadTokenizer } from '../tokenizer';
import type { Tokenizer } from '../tokenizer';
import type { ChooseExamples, GivenExamples } from './given-examples';
import { counted, say } from '../../message';

/** Name of the list of recordings in Hugging Face audio folders. */
const listName = 'metadata.jsonl';

/** Example of a line in such a list. */
export const exampleRow = '{"file_name": "one.wav", "text": "What is said in it."}';

const remedy = say`Each line must name a .wav file and its transcript, such as ${exampleRow}.`;

/** Sound file with its transcript. */
interface Recording {
  readonly sound: string;
  readonly text: string;
}

/** Schema of a row in an audio folder, a NeMo manifest, or a dataset exported to JSONL. */
const rowSchema = v.pipe(
  v.looseObject({}),
  v.transform(({ text, ...row }) => ({
    sound: row['file_name'] ?? row['audio_filepath'] ?? row['audio'] ?? row['path'],
    text: text ?? row['transcription'] ?? row['transcript'] ?? row['sentence'],
  })),
  v.object({ sound: v.pipe(v.string(), v.minLength(1)), text: v.string() }),
);

const hasEnding = (file: string, ending: string): boolean => extname(file).toLowerCase() === ending;

/** True if a .jsonl file lists recordings, or a folder contains them. */
export async function holdsRecordings(path: string): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) {
    return hasEnding(path, '.jsonl');
  }
  return (
    existsSync(join(path, listName)) ||
    (await listFiles(path)).some((file) => hasEnding(file, '.wav'))
  );
}

/**
 * Reads recordings with transcripts: a .jsonl list, or a folder with metadata.jsonl or one .txt file per .wav file.
 * Transcripts are encoded like labels in transformers, after the decoder's prompt tokens.
 * @throws UserError naming the file and the line.
 */
export async function readRecordings(
  path: string,
  selectExamples: ChooseExamples,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<GivenExamples> {
  const features = ports.find(({ shape }) => shape?.length === 3);
  const target = ports.find(({ transcript }) => transcript !== undefined);
  if (features === undefined || target?.transcript === undefined) {
    throw new RangeError('recordings are for a model that hears');
  }
  const all = await listRecordings(path);
  const { preprocess, warnings } = await loadSpectrogramPreprocessor(
    modelFolder,
    Number(features.shape?.[1]),
  );
  const tokenizer = await loadTokenizer(modelFolder);
  const examples: GivenExamples['examples'][number][] = [];
  for (const i of selectExamples(all.length)) {
    const { sound, text } = all[i] ?? { sound: '', text: '' };
    const heard = await readWav(sound);
    try {
      const ids = encodeTranscript(tokenizer, text, target.transcript);
      const values = BigInt64Array.from(ids, BigInt);
      examples.push(
        new Map([
          [features.name, { array: preprocess(heard), file: sound }],
          [
            target.name,
            { array: { dtype: 'I64', dims: [1, ids.length], data: values }, file: path },
          ],
        ]),
      );
    } catch (error) {
      throw inFile(error, sound);
    }
  }
  return { examples, available: all.length, warnings };
}

async function listRecordings(path: string): Promise<readonly Recording[]> {
  if (hasEnding(path, '.jsonl')) {
    return readList(path);
  }
  const list = join(path, listName);
  if (existsSync(list)) {
    return readList(list);
  }
  const sounds = (await listFiles(path)).filter((file) => hasEnding(file, '.wav'));
  return Promise.all(
    sounds.map(async (sound) => {
      const transcript = join(dirname(sound), `${basename(sound, extname(sound))}.txt`);
      if (!existsSync(transcript)) {
        throw new UserError(
          'transcript-missing',
          say`There is no transcript of ${basename(sound)}.`,
          {
            file: transcript,
            remedy: say`Write the transcript of each .wav file into a .txt file of the same name, or list all in ${listName}.`,
          },
        );
      }
      return { sound, text: (await readSmallText(transcript)).trim() };
    }),
  );
}

async function readList(file: string): Promise<readonly Recording[]> {
  const lines = (await readSmallText(file)).split('\n');
  return lines.flatMap((line, i) => {
    if (line.trim() === '') {
      return [];
    }
    const subject = { file, field: `line ${i + 1}`, remedy };
    const row = v.safeParse(rowSchema, parseObjectLine(line, subject));
    if (!row.success) {
      throw new UserError(
        'recording-line-invalid',
        say`The line has no .wav file or no transcript.`,
        subject,
      );
    }
    const { sound, text } = row.output;
    return [{ sound: resolve(dirname(file), sound), text }];
  });
}

/** Encodes a transcript with the tokenizer's special tokens, after the decoder start token. */
function encodeTranscript(
  tokenizer: Tokenizer,
  text: string,
  { start, most, vocabularySize }: Transcript,
): readonly number[] {
  const all = tokenizer.encode(text);
  const ids = [start, ...(all[0] === start ? all.subarray(1) : all)];
  if (ids.length === 1 || text.trim() === '') {
    throw new UserError('transcript-empty', say`The transcript has no token.`, {
      remedy: say`Leave the recording out, or add its transcript.`,
    });
  }
  if (ids.length > most) {
    throw new UserError(
      'transcript-too-long',
      say`The transcript has ${counted(ids.length, 'token')}, but the model reads ${most}.`,
      { remedy: say`Split the recording into shorter files.` },
    );
  }
  const outside = ids.find((id) => id >= vocabularySize);
  if (outside !== undefined) {
    throw new UserError(
      'token-outside-vocabulary',
      say`It contains the token id ${outside}, but the vocabulary of the model ends at ${vocabularySize - 1}.`,
      {
        file: tokenizer.file,
        remedy: say`The tokenizer doesn't match the model: download both again.`,
      },
    );
  }
  return ids;
}

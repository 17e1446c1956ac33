import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readImage } from '../../../extension/core/data/image/decode-image';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { EvolutionEvent } from '../../../extension/core/symbolic/evolution/evolve';
import { parseGssnnDocument } from '../../../extension/core/symbolic/evolution/gssnn-document';
import type { EvolutionSettings } from '../../../extension/core/symbolic/evolution/gssnn-document';
import { splitRequest } from '../../../extension/core/symbolic/evolution/network-pieces';
import { synthesize } from '../../../extension/core/symbolic/evolution/synthesize';
import type { SynthesisResult } from '../../../extension/core/symbolic/evolution/synthesize';
import { readLibrary } from '../../../extension/core/symbolic/language/library-file';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';
import { drawSplits } from '../../../extension/core/symbolic/raven/splits';
import { exportedOutput } from '../../../extension/core/training/checkpoint';
import { InProcessEngine } from '../distribute/in-process-engine';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { openSession } from '../whole-session';

const folder = temporaryFolder();
const settings: EvolutionSettings = {
  ...{ iterations: 2, population: 4, keep: 2, seed: 1, programLimit: 60_000 },
  ...{ size: 'small', mode: 'compat', epochs: 1, legacyWeights: false },
  data: { mode: 'faithful', seed: 1, train: 16, validation: 40, test: 30 },
};
const request = (name: string) => ({
  ...{ settings, out: join(folder, name), pictures: 3, version: '1.2.3' },
});

/** Stops a job when the `count`-th network has begun to train. */
function stopAt(count: number) {
  const cancellation = { isCancellationRequested: false };
  const stages = new Set<string>();
  return {
    ...unattended,
    cancellation,
    progress: ({ stage, done }: StageProgress) => {
      if (stage.code.startsWith('Training')) {
        stages.add(inEnglish(stage));
        cancellation.isCancellationRequested = stages.size === count && done > 0;
      }
    },
  };
}

describe('synthesize', () => {
  let whole: SynthesisResult | undefined;

  it('writes its log, its library and the network that the log names as best', async () => {
    whole = await synthesize(request('whole'), unattended);
    const { document, log, network, library } = whole;
    expect(parseGssnnDocument(readFileSync(log, 'utf8'), log)).toEqual(document);
    const { best } = document;
    expect(parseProgram(best.program, await readLibrary(library))).toBeDefined();
    const splits = await drawSplits(splitRequest(settings), unattended);
    const session = await openSession(network);
    for (const name of ['train', 'validation', 'test'] as const) {
      const split = splits[name];
      const { images, labels } = split.batch(Array.from({ length: split.size }, (_, i) => i));
      const logits = (await session.run({ image: images }))[exportedOutput]?.data as Float32Array;
      const right = logits.filter((logit, i) => logit > 0 === (labels.data[i] === 1)).length;
      expect(best.metrics[name]).toBe(right / split.size);
      expect(document.lines[name]).toEqual(split.lines);
    }
    await session.release();
    const pictures = join(folder, 'whole', 'pictures');
    const names = readdirSync(pictures).sort();
    expect(names).toHaveLength(3);
    expect(names[0]).toMatch(/^000-[a-z_]+-[01]\.png$/);
    const { width, height, data } = await readImage(join(pictures, names[0] ?? ''));
    expect([width, height]).toEqual([32, 32]);
    const { images } = splits.train.batch([0]);
    expect(data[4 * 33]).toBe(Math.round(127.5 * ((images.data[33] as number) + 1)));
    expect(existsSync(join(folder, 'whole', 'synthesis.journal.jsonl'))).toBe(false);
  });

  it('resumes to the same result', async () => {
    const out = request('resumed');
    for (const count of [2, 2]) {
      await expect(synthesize(out, stopAt(count))).rejects.toThrow(CancelledError);
      expect(existsSync(join(out.out, 'synthesis.gssnn.json'))).toBe(false);
    }
    const { document, network, library } = await synthesize(out, unattended);
    expect(document).toEqual(whole?.document);
    expect(readFileSync(network)).toEqual(readFileSync(whole?.network ?? ''));
    expect(readFileSync(library)).toEqual(readFileSync(whole?.library ?? ''));
  });

  it('does nothing when it was done, and leaves the evolution of other settings alone', async () => {
    const stopped = { ...unattended, cancellation: { isCancellationRequested: true } };
    const again = await synthesize(request('whole'), stopped);
    expect(again).toEqual(whole);
    const other = { ...request('whole'), settings: { ...settings, seed: 2 } };
    await expect(synthesize(other, unattended)).rejects.toFailWith({
      code: 'evolution-other-settings',
      file: 'synthesis.gssnn.json',
    });
  });

  it('writes the same result with several workers', async () => {
    const small = {
      ...settings,
      ...{ iterations: 1, population: 3, keep: 1, programLimit: 8000, baselines: 2 },
      data: { ...settings.data, train: 8, validation: 8, test: 8 },
    };
    const alone = await synthesize({ ...request('alone'), settings: small }, unattended);
    const engine = new InProcessEngine(2);
    const shared = { ...request('shared'), settings: small };
    const { document, network } = await synthesize(shared, unattended, engine);
    expect(document).toEqual(alone.document);
    expect(readFileSync(network)).toEqual(readFileSync(alone.network));
    expect(engine.begun[0]).toBeGreaterThan(0);
  });

  it('also trains baselines, and keeps their accuracies when it is stopped', async () => {
    const compared = {
      ...request('compared'),
      settings: { ...settings, baselines: 2, iterations: 1 },
    };
    // While the first trains, and after both.
    await expect(synthesize(compared, stopAt(1))).rejects.toThrow(CancelledError);
    await expect(synthesize(compared, stopAt(3))).rejects.toThrow(CancelledError);
    const events: EvolutionEvent[] = [];
    const stages: string[] = [];
    const { document } = await synthesize(compared, {
      ...unattended,
      emit: (event: EvolutionEvent) => events.push(event),
      progress: ({ stage }) => stages.push(inEnglish(stage)),
    });
    expect(stages.some((stage) => stage.includes('baseline'))).toBe(false);
    expect(events[0]).toEqual({ kind: 'lines', lines: document.lines });
    expect(events.flatMap((event) => (event.kind === 'baseline' ? [event.metrics] : []))).toEqual(
      document.baselines,
    );
    expect(document.baselines).toHaveLength(2);
    // They do not change what is evolved.
    expect(document.iterations[0]).toEqual(whole?.document.iterations[0]);
    expect(whole?.document.baselines).toBeUndefined();
  });

  it('names the field of a log that is damaged', () => {
    const { document } = whole ?? {};
    const damaged = { ...document, settings: { ...document?.settings, size: 'huge' } };
    expect(() => parseGssnnDocument(JSON.stringify(damaged), 'a.gssnn.json')).toFailWith({
      code: 'field-invalid',
      file: 'a.gssnn.json',
      field: 'settings.size',
    });
  });
});

import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { evolve } from '../../../extension/core/symbolic/evolution/evolve';
import { viewEvolution } from '../../../extension/core/symbolic/evolution/evolution-view';
import type { EvolutionEvent } from '../../../extension/core/symbolic/evolution/evolve';
import type {
  EvolutionSettings,
  GssnnDocument,
} from '../../../extension/core/symbolic/evolution/gssnn-document';
import { SynthesisSession } from '../../../extension/services/sessions/synthesis-session';
import type { SynthesisEnvironment } from '../../../extension/services/sessions/synthesis-session';

const settings: EvolutionSettings = {
  ...{ iterations: 2, population: 4, keep: 2, seed: 1, programLimit: 60_000 },
  ...{ size: 'small', mode: 'clean', epochs: 1, legacyWeights: false, baselines: 1 },
  data: { mode: 'balanced', seed: 1, train: 16, validation: 8, test: 8 },
};
const metrics = { training: 0.5, train: 0.6, validation: 0.7, test: 0.8 };
const line = { majority: 0.6, shortcut: 0.7 };
const lines = { train: line, validation: line, test: line };

const job = { id: '1', name: 'Synthesis', makesDocument: true } as const;
const running = { ...job, kind: 'running', progress: undefined } as const;
const stopped = { ...job, kind: 'stopped', reason: 'cancelled', message: '', saved: 'x' } as const;

/** Events and output of a job. */
async function ran(): Promise<{ events: EvolutionEvent[]; document: GssnnDocument }> {
  const events: EvolutionEvent[] = [
    { kind: 'lines', lines },
    { kind: 'baseline', metrics },
  ];
  const { iterations, best } = await evolve(settings, async () => Promise.resolve(metrics), {
    ...unattended,
    emit: (event: EvolutionEvent) => events.push(event),
  });
  const document: GssnnDocument = {
    ...{ format: 'espalier.gssnn', version: 1, settings, lines, baselines: [metrics] },
    ...{ iterations, best, versions: { espalier: '1' } },
  };
  return { events, document };
}

function start(environment: Partial<SynthesisEnvironment> = {}) {
  const session = new SynthesisSession('/a/synthesis.gssnn.json', {
    read: async () => Promise.reject(new Error('no such file')),
    view: async (state) => Promise.resolve(viewEvolution(state)),
    exists: async () => Promise.resolve(false),
    describeError: (error) => (error as Error).message,
    unfinished: () => undefined,
    blocked: () => undefined,
    ...environment,
  });
  const heard: unknown[] = [];
  session.changed.listen((fields) => heard.push(session.read(fields)));
  /** Once what was told has been made a view. */
  const shown = async () => {
    await setImmediate();
    return session.snapshot().evolution;
  };
  return { session, heard, shown };
}

describe('a session of an evolution', () => {
  it('grows with the events of the job, up to the document', async () => {
    const { events, document } = await ran();
    const { session, shown } = start();
    session.begin(settings);
    session.setJob(running);
    expect(session.job).toEqual(running);
    expect((await shown())?.iterations).toEqual([]);
    const grown: unknown[] = [];
    for (const event of events) {
      session.receive(event);
      const { iterations = [] } = (await shown()) ?? {};
      grown.push(iterations.map(({ models }) => models.length).join(' '));
    }
    expect(grown.slice(0, 3)).toEqual(['', '', '1']);
    expect(await shown()).toMatchObject({ lines, baselines: [metrics] });
    const live = (await shown())?.iterations;
    session.finish(document);
    expect((await shown())?.iterations).toEqual(live);
    expect((await shown())?.best).toEqual({
      iteration: document.best.iteration,
      model: document.best.model,
    });
    session.setJob({ kind: 'idle' });
    expect(session.snapshot().job).toEqual({ kind: 'idle' });
  });

  it('shows why it stopped, and starts again when it resumes', async () => {
    const { events } = await ran();
    const { session, shown } = start();
    session.begin(settings);
    events.slice(0, 4).forEach((event) => {
      session.receive(event);
    });
    session.setJob(stopped);
    expect(session.snapshot().job).toEqual(stopped);
    expect((await shown())?.iterations).toHaveLength(1);
    session.begin(settings);
    expect((await shown())?.iterations).toEqual([]);
    expect((await shown())?.baselines).toEqual([]);
  });

  it('reads an existing document, unless the job is newer', async () => {
    const { document } = await ran();
    let read = 0;
    const { session, shown } = start({
      exists: async () => Promise.resolve(true),
      read: async () => {
        read++;
        return Promise.resolve(viewEvolution({ ...document, models: [] }));
      },
    });
    await session.open();
    expect((await shown())?.iterations).toHaveLength(2);
    session.begin(settings);
    session.setJob(running);
    await session.open();
    expect(read).toBe(1);
    expect((await shown())?.iterations).toEqual([]);
  });

  it('offers to go on with an evolution that the closing of the window has stopped', async () => {
    const { session, shown } = start({ unfinished: () => settings });
    session.setJob({ ...stopped, reason: 'closed' });
    await session.open();
    expect(session.job).toMatchObject({ kind: 'stopped', reason: 'closed' });
    expect((await shown())?.settings).toEqual(settings);
  });

  it('explains why a document cannot be shown', async () => {
    const missing = start();
    await missing.session.open();
    expect(missing.heard).toContainEqual({ evolution: undefined, failure: 'no such file' });
    const { document } = await ran();
    const [first] = document.iterations;
    const wrong = first?.models.map((model) => ({ ...model, program: '(fly identity)' })) ?? [];
    const damaged = start({
      exists: async () => Promise.resolve(true),
      read: async () =>
        Promise.resolve(
          viewEvolution({
            ...document,
            iterations: first === undefined ? [] : [{ ...first, models: wrong }],
            models: [],
          }),
        ),
    });
    await damaged.session.open();
    expect(JSON.stringify(damaged.heard)).toContain('There is no symbol \\"fly\\"');
  });
});

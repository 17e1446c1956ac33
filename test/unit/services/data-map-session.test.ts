import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bareScores, writeScoreDocument } from '../../../extension/core/datadiet/score-document';
import { ScoredData } from '../../../extension/core/datadiet/scored-data';
import type { DataRequests } from '../../../extension/protocol/data';
import type { GalleryQuery, ToDataMap } from '../../../extension/protocol/datamap';
import { DataMapSession } from '../../../extension/services/data-map-session';
import type { StoredMarks } from '../../../extension/services/data-marks';
import type { DataReader } from '../../../extension/services/data-map-session';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const query: GalleryQuery = {
  order: 'hardest',
  suspected: false,
  marked: false,
  page: 0,
  pageSize: 24,
};

/** The data reader's work in this process. */
function readerInProcess() {
  const asked: string[] = [];
  type Work = { [M in keyof DataRequests]: (request: DataRequests[M][0]) => unknown };
  const work: Work = {
    summarize: () => undefined,
    map: async (source) => (await ScoredData.open(source)).map(),
    examples: async (request) => (await ScoredData.open(request)).examples(request.query),
    count: async (request) => (await ScoredData.open(request)).count(request.choice),
    export: () => undefined,
  };
  const reader: DataReader = {
    request: async (method, request) => {
      asked.push(method);
      return (await work[method](request)) as never;
    },
  };
  return { reader, asked };
}

async function start(marks?: StoredMarks) {
  const scores = join(folder, 'ten.scores.json');
  await writeScoreDocument(
    scores,
    bareScores(
      'el2n',
      Array.from({ length: 10 }, (_, i) => i),
    ),
  );
  const { reader, asked } = readerInProcess();
  const saved: StoredMarks[] = [];
  const session = new DataMapSession(
    reader,
    { scores },
    {
      marks,
      save: (kept) => saved.push(kept),
      describeError: String,
      blocked: () => undefined,
    },
  );
  const heard: ToDataMap[] = [];
  session.messages.listen((message) => heard.push(message));
  const last = <T extends ToDataMap['type']>(type: T) =>
    heard
      .filter((message): message is Extract<ToDataMap, { type: T }> => message.type === type)
      .at(-1);
  return { session, saved, last, asked };
}

describe('a session of the data map', () => {
  it('tells what it has read to a webview that comes late', async () => {
    const { session } = await start({ identity: '10 examples', indices: [2] });
    await session.open();
    expect(session.snapshot()).toMatchObject([
      { type: 'blocked' },
      { type: 'map', marks: [2], map: { overview: { examples: 10 } } },
      { type: 'export', job: { kind: 'idle' } },
    ]);
  });

  it('keeps marks, and leaves them out of what is kept', async () => {
    const { session, saved, last } = await start();
    await session.open();
    session.mark([9, 4, 77], true);
    session.mark([4], false);
    expect(saved.map(({ indices }) => indices)).toEqual([[4, 9], [9]]);
    await session.chooseSubset({
      request: { keep: 1, policy: 'max', balanced: true, seed: 0 },
      leaveOutMarked: true,
    });
    // Classes are not known: nothing is balanced rather than nothing kept.
    expect(session.choice()).toMatchObject({ request: { balanced: false }, leaveOut: [9] });
    await expect.poll(() => last('counts')?.counts.kept).toBe(9);
    await session.ask({ ...query, marked: true });
    expect(last('page')?.page.items.map(({ index }) => index)).toEqual([9]);
  });

  it('forgets marks that are of another data set', async () => {
    const { session } = await start({ identity: '12 examples', indices: [2] });
    await session.open();
    expect(session.marks).toEqual([]);
  });

  it('asks once more, not for every step of a slider', async () => {
    const { session, last, asked } = await start();
    await session.open();
    const choose = async (keep: number): Promise<void> =>
      session.chooseSubset({
        request: { keep, policy: 'max', balanced: false, seed: 0 },
        leaveOutMarked: false,
      });
    await Promise.all([0.1, 0.2, 0.3, 0.4].map(choose));
    expect(last('counts')?.counts.kept).toBe(4);
    expect(asked.filter((method) => method === 'count')).toHaveLength(2);
  });

  it('answers the last question alone', async () => {
    const { session, last } = await start();
    await session.open();
    await Promise.all([session.ask(query), session.ask({ ...query, order: 'easiest' })]);
    expect(last('page')?.query.order).toBe('easiest');
    expect(last('page')?.page.items[0]?.index).toBe(0);
  });

  it('says what is wrong with the scores, and with a choice', async () => {
    const { session, last } = await start();
    await session.open();
    await session.chooseSubset({
      request: { keep: 0.9, policy: 'window', offset: 0.5, balanced: false, seed: 0 },
      leaveOutMarked: false,
    });
    expect(last('countsFailed')?.message).toMatch(/both together are at most 1/);
    const lost = new DataMapSession(
      readerInProcess().reader,
      { scores: join(folder, 'none.scores.json') },
      {
        marks: undefined,
        save: () => undefined,
        describeError: String,
        blocked: () => ({ reason: 'no', needsTrust: true }),
      },
    );
    await lost.open();
    expect(lost.snapshot()).toMatchObject([
      { type: 'blocked', reason: 'no' },
      { type: 'failed', message: expect.stringContaining('none.scores.json') as string },
      { type: 'export', job: { kind: 'idle' } },
    ]);
  });
});

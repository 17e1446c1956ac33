import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  bareScores,
  writeScoreDocument,
} from '../../../extension/core/datadiet/scores/score-document';
import { ScoredData } from '../../../extension/core/datadiet/scores/scored-data';
import type { DataRequests } from '../../../extension/protocol/data';
import type { DataMapState, GalleryQuery } from '../../../extension/protocol/datamap';
import { DataMapSession } from '../../../extension/services/sessions/data-map-session';
import type { StoredMarks } from '../../../extension/services/sessions/data-marks';
import type { DataReader } from '../../../extension/services/sessions/data-map-session';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

const folder = temporaryFolder();
const query: GalleryQuery = {
  order: 'hardest',
  marked: false,
  relabeled: false,
  page: 0,
  pageSize: 24,
};

/** The data reader's work in this process. */
function readerInProcess() {
  type Asked = 'map' | 'data' | 'examples' | 'count';
  const work: { [M in Asked]: (request: DataRequests[M][0]) => unknown } = {
    map: async (source) => (await ScoredData.open(source)).map(),
    data: async (source) => (await ScoredData.open(source)).data(),
    examples: async (request) => (await ScoredData.open(request)).examples(request.query),
    count: async (request) => (await ScoredData.open(request)).count(request.choice),
  };
  const reader: DataReader = {
    request: async (method, request) => {
      return (await work[method as Asked](request as never)) as never;
    },
  };
  return { reader };
}

async function start(marks?: StoredMarks, scores = join(folder, 'ten.scores.json')) {
  await writeScoreDocument(
    join(folder, 'ten.scores.json'),
    bareScores(
      'el2n',
      Array.from({ length: 10 }, (_, i) => i),
    ),
  );
  const { reader } = readerInProcess();
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
  const heard: (keyof DataMapState)[] = [];
  session.changed.listen((fields) => heard.push(...fields));
  return { session, saved, heard };
}

const half = {
  request: { keep: 0.5, policy: 'max', balanced: true, seed: 0 },
  leaveOutMarked: true,
  without: [],
  similarity: 0.995,
} as const;

describe('a session of the data map', () => {
  it('sends its data to a webview that opens later', async () => {
    const { session, heard } = await start({ identity: '10 examples', indices: [2] });
    await session.open();
    expect(heard).toEqual(['map', 'data']);
    expect(session.snapshot()).toMatchObject({
      marks: [2],
      map: { overview: { examples: 10 } },
      failure: undefined,
      job: { kind: 'idle' },
      blocked: undefined,
    });
  });

  it('ignores a dataset that was replaced while it was read', async () => {
    await start();
    const { reader } = readerInProcess();
    let fail: (error: Error) => void = () => undefined;
    const slow: DataReader = {
      request: async (method, request) =>
        'data' in (request as object)
          ? reader.request(method, request)
          : new Promise((_, reject) => {
              fail = reject;
            }),
    };
    const session = new DataMapSession(
      slow,
      { scores: join(folder, 'ten.scores.json') },
      {
        ...{ marks: undefined, save: () => undefined },
        ...{ describeError: String, blocked: () => undefined },
      },
    );
    const first = session.open();
    await session.chooseData(join(folder, 'another'));
    fail(new Error('too late'));
    await first;
    expect(session.snapshot()).toMatchObject({
      failure: undefined,
      map: { overview: { examples: 10 } },
    });
  });

  it('keeps marks, and excludes them from the subset', async () => {
    const { session, saved, heard } = await start();
    await session.open();
    session.mark([9, 4, 77], true);
    session.mark([4], false);
    expect(heard.slice(-2)).toEqual(['marks', 'marks']);
    expect(saved.map(({ indices }) => indices)).toEqual([[4, 9], [9]]);
    const counts = await session.choose({ ...half, request: { ...half.request, keep: 1 } });
    expect(counts.kept).toBe(9);
    // Classes are not known: nothing is balanced rather than nothing kept.
    expect(session.choice).toMatchObject({ request: { balanced: false }, leaveOut: [9] });
    const { items } = await session.examples({ ...query, marked: true });
    expect(items.map(({ index }) => index)).toEqual([9]);
    session.mark([8], true);
    expect((await session.choose({ ...half, leaveOutMarked: false })).kept).toBe(5);
  });

  it('keeps new labels of known classes, and undoes them', async () => {
    const scores = join(folder, 'two.scores.json');
    const labels = { classNames: ['a', 'b'], labels: [0, 0, 1], predicted: [0, 1, 1] };
    await writeScoreDocument(scores, { ...bareScores('el2n', [1, 2, 3]), ...labels });
    const { session, saved, heard } = await start(undefined, scores);
    await session.open();
    session.relabel([
      { index: 1, label: 'b' },
      { index: 0, label: 'no class' },
      { index: 7, label: 'b' },
    ]);
    expect(session.snapshot().relabeled).toEqual([{ index: 1, label: 'b' }]);
    expect(session.choice.relabeled).toEqual([{ index: 1, label: 'b' }]);
    expect(heard.at(-1)).toBe('relabeled');
    expect(saved.at(-1)).toMatchObject({ indices: [], relabeled: [{ index: 1, label: 'b' }] });
    const { items } = await session.examples({ ...query, relabeled: true });
    expect(items.map(({ index }) => index)).toEqual([1]);
    session.relabel([{ index: 1 }]);
    expect(session.relabeled).toEqual([]);
  });

  it('shows paths like the editor', async () => {
    const scores = join(folder, 'lost.scores.json');
    const dataset = { path: join(folder, 'lost'), name: '', fingerprint: '' };
    await writeScoreDocument(scores, { ...bareScores('el2n', [1]), dataset });
    const session = new DataMapSession(
      readerInProcess().reader,
      { scores },
      {
        ...{ marks: undefined, save: () => undefined, blocked: () => undefined },
        describeError: (error) => inEnglish(error as Message).replace(`${folder}/`, ''),
      },
    );
    await session.open();
    const { problem } = session.data ?? {};
    expect(problem && inEnglish(problem)).toMatch(/^lost: There is no such file/);
  });

  it('drops marks of another dataset', async () => {
    const { session } = await start({ identity: '12 examples', indices: [2] });
    await session.open();
    expect(session.marks).toEqual([]);
  });

  it('reports errors in the scores and in a choice', async () => {
    const { session } = await start();
    await session.open();
    const beyond = { ...half.request, keep: 0.9, policy: 'window', offset: 0.5 } as const;
    await expect(
      session.choose({ ...half, request: beyond, leaveOutMarked: false }),
    ).rejects.toFailWith({ code: 'offset-invalid', field: 'offset' });
    const lost = new DataMapSession(
      readerInProcess().reader,
      { scores: join(folder, 'none.scores.json') },
      {
        marks: undefined,
        save: () => undefined,
        describeError: String,
        blocked: () => ({ reason: 'no', code: 'workspace-untrusted' }),
      },
    );
    await lost.open();
    expect(lost.snapshot()).toMatchObject({
      blocked: 'no',
      failure: expect.stringContaining('none.scores.json') as string,
      map: undefined,
      job: { kind: 'idle' },
    });
  });
});

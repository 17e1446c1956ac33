import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { documentTypes, showDocument } from '../../../extension/core/documents/document-types';
import { viewEvolution } from '../../../extension/core/symbolic/evolution/evolution-view';
import { cut, cutPieces, Joiner } from '../../../extension/protocol/pieces';
import type { QuestionRequests } from '../../../extension/core/operations/questions/questions';
import { WorkerClient } from '../../../extension/services/worker/worker-client';
import { buildChild } from '../build-child';
import { largeDocuments } from '../../reliability/large-documents';

/** As it comes out of the other process. */
function sent(value: unknown, most: number): unknown {
  const joiner = new Joiner();
  for (const piece of cut(value, most)) {
    joiner.add(JSON.parse(JSON.stringify(piece)) as typeof piece);
  }
  return joiner.value;
}

describe('pieces of a message', () => {
  it('are joined again at the cut, even if very short', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5 }),
        fc.integer({ min: 1, max: 200 }),
        (value, most) => {
          expect(sent(value, most)).toEqual(JSON.parse(JSON.stringify(value)));
        },
      ),
    );
  });

  it('keep the order of entries, and names that objects have setters for', () => {
    const value: unknown = JSON.parse(
      '{"b":[1,"two",{"__proto__":{"c":"d"}}],"a":"long","__proto__":[3]}',
    );
    expect(JSON.stringify(sent(value, 4))).toBe(JSON.stringify(value));
  });

  it('are marked if more follow', () => {
    expect([...cutPieces('short')]).toEqual([
      { piece: { path: [], value: 'short' }, isLast: true },
    ]);
    const long = [...cutPieces('x'.repeat(120_000))];
    expect(long.map(({ isLast }) => isLast)).toEqual([false, false, false, true]);
  });

  it('of the largest documents are short, and as they are shown', async () => {
    for (const id of ['layerProfile', 'sensitivity', 'plan', 'evolution'] as const) {
      const shown = await showDocument(id, 'file', JSON.stringify(await largeDocuments[id]()));
      const texts = [...cut(shown)].map((piece) => JSON.stringify(piece));
      expect(Math.max(...texts.map(({ length }) => length)), id).toBeLessThan(100_000);
      expect(JSON.stringify(sent(shown, 50_000)) === JSON.stringify(shown), id).toBe(true);
    }
  });

  it('of a long request reach a child, which answers in pieces', async () => {
    const client = new WorkerClient<QuestionRequests>({
      modulePath: await buildChild('inspector'),
      graceMilliseconds: 300,
      onOutput: () => undefined,
      assertMayRun: () => undefined,
    });
    try {
      const state = { ...(await largeDocuments.evolution()), models: [] };
      expect(JSON.stringify(state).length).toBeGreaterThan(100_000);
      const view = await client.request('viewEvolution', state);
      expect(JSON.stringify(view) === JSON.stringify(viewEvolution(state))).toBe(true);
    } finally {
      client.dispose();
    }
  });

  it('of a layer profile leave out fields that only the file needs', () => {
    const layerProfile = largeDocuments.layerProfile();
    const shown = documentTypes.layerProfile.show(layerProfile);
    expect(JSON.stringify(layerProfile).length).toBeGreaterThan(3_000_000);
    expect(JSON.stringify(shown).length).toBeLessThan(200_000);
    expect(shown.rounds[7]).toEqual({
      removed: layerProfile.rounds[7]?.removed,
      distance: layerProfile.rounds[7]?.distance,
      standardError: layerProfile.rounds[7]?.standardError,
    });
  });
});

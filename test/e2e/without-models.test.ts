import { afterAll, describe } from 'vitest';
import { holdJobs } from './support/session';
import { useSession } from './support/use-session';
import { placeDataSets, slowCopies, testDataMap } from './without-models/data-map';
import { placeEvolution, testEvolution } from './without-models/evolution';

/** Panels of what is no model, in one editor: to start one takes longer than most tests. */
describe('a workspace of data sets and evolutions', () => {
  const session = useSession({
    preloads: [slowCopies, holdJobs],
    prepare: async (workspace) => {
      await placeDataSets(workspace);
      await placeEvolution(workspace);
    },
  });

  describe('the data map', () => {
    testDataMap(session);
    afterAll(async () => {
      await session().workbench.runCommand('View: Close All Editors');
    });
  });

  describe('the panel of an evolution', () => {
    testEvolution(session);
  });
});

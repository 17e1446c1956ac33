import { afterAll, describe } from 'vitest';
import { testGallery, testPanel } from './heatmap/accessibility';
import { placePlan, testNarrowing } from './heatmap/width-pruning';
import { useSession } from './support/use-session';

/** Heatmaps of the sample model, and their components, in one editor: to start one takes longer than most tests. */
describe('a workspace of the sample model', () => {
  const session = useSession({
    prepare: placePlan,
    settings: {
      'espalier.device': 'cpu',
      'espalier.calibration.sequences': 2,
      'espalier.calibration.length': 64,
    },
  });

  describe('the heatmap of a plan that prunes widths', () => {
    testNarrowing(session);
    afterAll(async () => {
      await session().workbench.runCommand('View: Close All Editors');
    });
  });

  describe('the heatmap panel', () => {
    testPanel(session);
  });

  describe('the gallery of components', () => {
    testGallery(session);
  });
});

import { afterAll, describe } from 'vitest';
import { damageModels, testDamaged } from './models/damaged';
import { placeFiles, testExplorer } from './models/explorer';
import { placeGraphs, testOnnx } from './models/onnx';
import { useSession } from './support/use-session';

/** Models of all kinds, in one editor: to start one takes longer than most tests. */
describe('a workspace of models', () => {
  const session = useSession({
    prepare: async (workspace) => {
      await placeFiles(workspace);
      await placeGraphs(workspace);
      await damageModels(workspace);
    },
    settings: {
      'espalier.device': 'cpu',
      'espalier.calibration.sequences': 2,
      'espalier.calibration.length': 16,
    },
  });

  const closeEditors = async (): Promise<void> => {
    await session().workbench.runCommand('View: Close All Editors');
  };

  describe('the model explorer', () => {
    testExplorer(session);
    afterAll(closeEditors);
  });

  describe('a damaged model', () => {
    testDamaged(session);
    afterAll(closeEditors);
  });

  describe('an ONNX file', () => {
    testOnnx(session);
  });
});

import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { profileRequest, runFor } from '../../extension/services/jobs/model-requests';
import { useForCalibration } from '../../extension/commands/score-text';
import { readTextScores } from '../../extension/core/data/text-scores';
import type { TextScores } from '../../extension/core/data/text-scores';
import { profile as profileOperation } from '../../extension/core/operations/profile';
import type { Espalier } from '../../extension/host';
import { activate, configure, placeFixture, shortSearch } from './support';

describe('the scores of a calibration text', () => {
  let espalier: Espalier;
  let path: string;

  before(async () => {
    espalier = await activate();
    await configure(shortSearch);
    path = await placeFixture('llama-gqa-untied', 'scored-text');
  });
  after(async () => {
    await configure({ 'calibration.scores': undefined });
  });

  it('are written next to the model, and choose the calibration windows of a profile', async () => {
    const result = await vscode.commands.executeCommand<TextScores>(
      'espalier.scoreText',
      vscode.Uri.file(path),
      { text: 'bundled', overwrite: true },
    );
    const out = `${path}.textscores.json`;
    const { scores, text } = await readTextScores(out);
    assert.deepEqual(scores, result.scores);
    assert.equal(text.length, shortSearch['calibration.length']);
    await useForCalibration(out);
    assert.equal(espalier.settings.given(profileOperation.fields).calibrationScores, out);
    const session = await espalier.sessions.open(path);
    const request = profileRequest(espalier.settings, session);
    const profile = await runFor(espalier.jobs, session, 'profile', request);
    assert.equal(profile.calibration.choice?.windows, scores.length);
  });
});

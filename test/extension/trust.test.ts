import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { ModelJobs } from '../../extension/services/model-jobs';
import { ModelSession } from '../../extension/services/model-session';
import { wholeModel } from '../../extension/services/selection';
import { whyBlocked, whyUnreadable } from '../../extension/services/trust';
import { activate, placeFixture } from './support';

describe('trust', () => {
  it('lets an untrusted workspace inspect, but not run', () => {
    assert.equal(whyBlocked({ trusted: true, scheme: 'file' }), undefined);
    assert.match(whyBlocked({ trusted: false, scheme: 'file' }) ?? '', /not trusted/);
    assert.equal(whyUnreadable('file'), undefined);
  });

  it('says why a virtual folder cannot be read', async () => {
    assert.match(whyUnreadable('vscode-vfs') ?? '', /virtual \(vscode-vfs\)/);
    const virtual = vscode.Uri.parse('vscode-vfs://github/owner/model');
    assert.equal(await vscode.commands.executeCommand('espalier.inspectModel', virtual), undefined);
  });

  it('is tested in code before any job', async () => {
    const espalier = await activate();
    const model = await espalier.models.summary(await placeFixture('llama-gqa-untied', 'blocked'));
    const session = new ModelSession(
      model,
      `${model.path}.layerprofile.json`,
      {
        preview: () => ({ lines: [], loadsWith: '' }),
        cannot: {},
        blocked: () => whyBlocked({ trusted: false, scheme: 'file' }),
        save: () => undefined,
      },
      undefined,
    );
    const jobs = new ModelJobs(espalier.jobs, espalier.settings, espalier.interrupted, () => true);
    await assert.rejects(jobs.profile(session, false), /not trusted/);
    await assert.rejects(jobs.evaluate(session, wholeModel), /not trusted/);
    assert.equal(session.job.kind, 'idle');
  });
});

import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import {
  perplexityRequest,
  profileRequest,
  runFor,
} from '../../extension/services/jobs/model-requests';
import { ModelSession } from '../../extension/services/sessions/model-session';
import { wholeModel } from '../../extension/services/sessions/selection';
import { explainBlocked, explainUnreadable } from '../../extension/services/trust';
import { activate, placeFixture } from './support';

describe('trust', () => {
  it('allows inspecting, but not running, in an untrusted workspace', () => {
    assert.equal(explainBlocked({ trusted: true, scheme: 'file' }), undefined);
    assert.match(explainBlocked({ trusted: false, scheme: 'file' })?.reason ?? '', /not trusted/);
    assert.equal(explainUnreadable('file'), undefined);
  });

  it('explains why a virtual folder cannot be read', async () => {
    assert.match(explainUnreadable('vscode-vfs') ?? '', /virtual \(vscode-vfs\)/);
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
        widthPruned: async (changes) => espalier.models.widthPruned(model.path, changes),
        showError: (error) => {
          throw error;
        },
        cannot: {},
        blocked: () => explainBlocked({ trusted: false, scheme: 'file' }),
        save: () => undefined,
      },
      undefined,
    );
    const { jobs, settings } = espalier;
    const profile = profileRequest(settings, session);
    await assert.rejects(runFor(jobs, session, 'profile', profile), /not trusted/);
    // Typed, so that the message can offer to trust the workspace.
    const evaluation = perplexityRequest(settings, session, wholeModel);
    await assert.rejects(runFor(jobs, session, 'evaluate', evaluation), {
      code: 'workspace-untrusted',
    });
    assert.equal(session.job.kind, 'idle');
  });
});

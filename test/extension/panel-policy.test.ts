import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { messageHtml, panelHtml } from '../../extension/panels/panel-html';
import type { PanelName } from '../../extension/panels/panel-html';
import { activate, placeFixture } from './support';

/** All kinds: one that is missing here is an error of the compiler. */
const kinds: Readonly<Record<PanelName, true>> = {
  ...{ compression: true, datamap: true, explorer: true },
  ...{ heatmap: true, playground: true, report: true, symbolic: true },
};
const hostile = `"><script>alert(1)</script><img src="https://example.com/x" onerror='alert(1)'>`;

/** Sources that a page may load, by directive. */
function readPolicy(page: string): Map<string, string[]> {
  const [, policy = ''] = /Content-Security-Policy" content="([^"]*)"/.exec(page) ?? [];
  return new Map(
    policy.split(';').map((directive) => {
      const [name = '', ...sources] = directive.trim().split(/\s+/);
      return [name, sources];
    }),
  );
}

/** Values of an attribute at any position in a tag. */
const attributeValues = (page: string, name: string): string[] =>
  [...page.matchAll(new RegExp(`<[^>]*\\s${name}="([^"]*)"`, 'g'))].map(([, value = '']) => value);

describe('the page of a panel', () => {
  let panel: vscode.WebviewPanel;
  let extension: vscode.Uri;

  before(async () => {
    await activate();
    extension = vscode.extensions.getExtension('espalier.espalier')?.extensionUri ?? assert.fail();
    panel = vscode.window.createWebviewPanel('espalier.policy', 'policy', 1);
  });
  after(() => {
    panel.dispose();
  });

  for (const name of Object.keys(kinds) as PanelName[]) {
    it(`loads nothing but its own files: ${name}`, () => {
      const { webview } = panel;
      const page = panelHtml(name, webview, extension, hostile);
      const policy = readPolicy(page);
      const [nonce = ''] = attributeValues(page, 'nonce');
      const [styleNonce = ''] = /(?<=csp-nonce" content=")[^"]*/.exec(page) ?? [];
      assert.ok(nonce.length >= 22 && styleNonce.length >= 22 && nonce !== styleNonce);
      assert.deepEqual(Object.fromEntries(policy), {
        'default-src': [`'none'`],
        'script-src': [`'nonce-${nonce}'`],
        'style-src': [...webview.cspSource.split(' '), `'nonce-${styleNonce}'`],
        'font-src': webview.cspSource.split(' '),
      });
      assert.doesNotMatch([...policy.values()].flat().join(' '), /unsafe|data:|blob:|http:|\*$/);
      const again = panelHtml(name, webview, extension, hostile);
      assert.notEqual(attributeValues(again, 'nonce')[0], nonce, 'a nonce is used once');

      const own = webview.asWebviewUri(vscode.Uri.joinPath(extension, 'dist', 'webview'));
      const loaded = [...attributeValues(page, 'src'), ...attributeValues(page, 'href')];
      assert.deepEqual(loaded.sort(), [
        `${own.toString()}/${name}.css`,
        `${own.toString()}/${name}.js`,
      ]);
      assert.equal(page.match(/<script/g)?.length, 1);
      assert.doesNotMatch(page, /<[^>]*\s(?:on\w+|style)=/);
    });
  }

  it('with a single sentence loads no resources', () => {
    const page = messageHtml(hostile, hostile);
    assert.deepEqual(Object.fromEntries(readPolicy(page)), { 'default-src': [`'none'`] });
    assert.doesNotMatch(page, /<script|<img/);
  });

  it('may read the folder of its bundles, and no other', async () => {
    const espalier = await activate();
    const session = await espalier.sessions.open(await placeFixture('llama-gqa-untied', 'policy'));
    const { webview } = panel;
    espalier.heatmaps.fill(panel, session);
    assert.deepEqual(
      webview.options.localResourceRoots?.map(({ path }) => path.split('/').slice(-2).join('/')),
      ['dist/webview'],
    );
  });
});

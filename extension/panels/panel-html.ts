import { randomBytes } from 'node:crypto';
import { env, l10n, Uri, workspace } from 'vscode';
import type { Webview } from 'vscode';
import { escapeHtml } from '../core/report/markup';

/** Folder of the webviews' bundles: all that a panel may load. */
export const webviewRoot = (extension: Uri): Uri => Uri.joinPath(extension, 'dist', 'webview');

/** Panels with their own bundle. */
export type PanelName =
  | 'heatmap'
  | 'explorer'
  | 'datamap'
  | 'compression'
  | 'symbolic'
  | 'playground'
  | 'report';

/** The page of a panel. It holds texts, but no data: the script asks for that. */
export function panelHtml(
  panel: PanelName,
  webview: Webview,
  extension: Uri,
  title: string,
): string {
  const nonce = randomBytes(16).toString('base64');
  // The toolkit tests one feature with an empty <style>, which takes the nonce of this <meta>.
  const styleNonce = randomBytes(16).toString('base64');
  const file = (name: string): string =>
    webview.asWebviewUri(Uri.joinPath(webviewRoot(extension), name)).toString();
  return page(
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${webview.cspSource} 'nonce-${styleNonce}'; font-src ${webview.cspSource}`,
    title,
    `<meta property="csp-nonce" content="${styleNonce}">${catalogueMeta()}
    <link rel="stylesheet" href="${file(`${panel}.css`)}">`,
    `<script type="module" nonce="${nonce}" src="${file(`${panel}.js`)}"></script>`,
    workspace.getConfiguration('espalier').get('patterns') === true ? ' data-patterns' : '',
  );
}

/** Translations for the script in the editor's language; none for English. */
function catalogueMeta(): string {
  const { bundle } = l10n;
  return bundle === undefined
    ? ''
    : `\n    <meta name="catalogue" content="${escapeHtml(JSON.stringify(bundle))}">`;
}

/** A page with one sentence, for a restored panel whose model no longer exists. */
export function messageHtml(title: string, message: string): string {
  return page("default-src 'none'", title, '', `<p role="alert">${escapeHtml(message)}</p>`);
}

function page(policy: string, title: string, head: string, body: string, attributes = ''): string {
  return `<!DOCTYPE html>
<html lang="${escapeHtml(env.language)}">
  <head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${escapeHtml(title)}</title>
    ${head}
  </head>
  <body${attributes}>
    ${body}
  </body>
</html>
`;
}

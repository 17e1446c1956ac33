// The main job on the sample model, in the terminal and then in the editor: npm start
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { cacheFolder } from './lib/cache.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { installExtension, startEditor, writeSettings } from './lib/editor.mjs';
import { endWithParent, findProgram, hasDisplay, run } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { bold, say } from './lib/terminal.mjs';
import { vsixFile } from './lib/vsix.mjs';

endWithParent();
const isTerminal = process.stdout.isTTY;
// Outside of the checkout: the sample is copied there, and the results are written next to the
// copy.
const workspace = join(cacheFolder(), 'demo');

await ensureDependencies();
say('Building');
await run(process.execPath, [join(root, 'scripts', 'build.mjs')], { cwd: root });
await rm(workspace, { recursive: true, force: true });
await runDemo();
if (isTerminal) await openEditor();
else say('\nTo go on in the editor, run npm start in a terminal.');

/** The command line does the job with the terminal to itself: it draws a progress bar where there is one. */
async function runDemo() {
  const args = [join(root, 'dist', 'cli.js'), 'demo', '--out', workspace];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
  if (code !== 0) process.exit(code);
}

async function openEditor() {
  const desktop = hasDisplay() ? findProgram(['code']) : undefined;
  if (desktop !== undefined) {
    say(`\nOpening VS Code on ${workspace}`);
    await run(desktop, ['--new-window', `--extensionDevelopmentPath=${root}`, workspace]);
    return;
  }
  say('\nNo desktop VS Code here: preparing one for the browser');
  await run(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root, quiet: true });
  const data = join(cacheFolder(), 'editor');
  if (!existsSync(join(data, 'user', 'User', 'settings.json'))) await writeSettings(data);
  await installExtension(data, vsixFile());
  const editor = await startEditor(data);
  process.prependOnceListener('SIGINT', () => process.exit(0));
  say(`Espalier in VS Code: ${bold(editor.address(workspace))}`);
  say('Right-click the folder espalier-sample there. Ctrl-C ends it.');
  await new Promise((resolve) => editor.process.once('exit', resolve));
}

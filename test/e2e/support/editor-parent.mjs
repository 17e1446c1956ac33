// Starts an editor on a data folder and prints its address: node editor-parent.mjs DATA
import process from 'node:process';
import { startEditor, writeSettings } from '../../../scripts/lib/editor.mjs';
import { endWithParent } from '../../../scripts/lib/processes.mjs';

const [data = ''] = process.argv.slice(2);
endWithParent();
await writeSettings(data);
const editor = await startEditor(data);
process.stdout.write(`${editor.address(data)}\n`);

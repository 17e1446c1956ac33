// Starts a server that starts a child, and waits: node server-parent.mjs FILE. Both append their process ids to FILE.
import process from 'node:process';
import { endWithParent, startServer } from '../../../scripts/lib/processes.mjs';

const [file = ''] = process.argv.slice(2);
const child = `
  require('node:fs').appendFileSync(process.env.PIDS, process.pid + '\\n');
  setInterval(() => {}, 1000);
`;
const server = `
  process.on('SIGTERM', () => {}); // does not end by itself
  require('node:child_process').spawn(process.execPath, ['-e', process.env.CHILD], { stdio: 'ignore' });
  ${child}
`;

endWithParent();
startServer(process.execPath, ['-e', server], { ...process.env, PIDS: file, CHILD: child });

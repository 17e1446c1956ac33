// Runs a server and ends it with the process that asked for it, however that process ends: node keeper.mjs FILE ARGS…
// It leads a process group of its own, which holds all that the server starts.
import { spawn } from 'node:child_process';
import process from 'node:process';

/** Time for the server to exit before it is killed. */
const GRACE_MILLISECONDS = 3000;

const [file = '', ...args] = process.argv.slice(2);
const server = spawn(file, args, { stdio: 'ignore' });
server.once('error', () => process.exit(1));
server.once('exit', (code) => {
  signalGroup('SIGTERM');
  process.exit(code ?? 1);
});
// The channel closes with the parent, a killed one included.
process.once('disconnect', end);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, end);

let ending = false;

/** Ends the group: the keeper itself leaves when the server has, or with a server that does not. */
function end() {
  if (ending) return;
  ending = true;
  signalGroup('SIGTERM');
  setTimeout(() => signalGroup('SIGKILL'), GRACE_MILLISECONDS);
}

/** @param {NodeJS.Signals} signal */
function signalGroup(signal) {
  process.kill(-process.pid, signal);
}

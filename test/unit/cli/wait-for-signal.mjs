// Loaded into a command line that a test interrupts: once a file has the given number of lines, writing waits for the
// signal, so that the process cannot end before it comes.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

/** @type {{file: string, lines: number}} */
const { file, lines } = JSON.parse(process.env['ESPALIER_WAIT_FOR_SIGNAL'] ?? '{}');
const { open, rename } = fs.promises;

let isSignaled = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    isSignaled = true;
  });
}

async function waitForSignal() {
  const text = fs.existsSync(file) ? fs.readFileSync(file, 'latin1') : undefined;
  if (text === undefined || text.split('\n').length <= lines) return;
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!isSignaled) return;
      clearInterval(timer);
      resolve(undefined);
    }, 5);
  });
}

fs.promises.open = async (...args) => {
  const handle = await open(...args);
  const appendFile = handle.appendFile.bind(handle);
  handle.appendFile = async (...content) => {
    await appendFile(...content);
    await waitForSignal();
  };
  return handle;
};
fs.promises.rename = async (...args) => {
  await rename(...args);
  await waitForSignal();
};
syncBuiltinESMExports();

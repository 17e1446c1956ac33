// Loaded into the processes of an editor whose test acts on a running job: while the hold file exists, a job waits once its
// journal has more lines than that file says, so that it cannot end before the test has acted.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

/** In the folder of the session, see `Session.holdJobs`. */
const hold = join(dirname(process.env['ESPALIER_CONNECTIONS'] ?? ''), 'hold');
const { open } = fs.promises;

/** @param {fs.PathLike} journal */
async function isHeld(journal) {
  const lines = await fs.promises.readFile(hold, 'utf8').catch(() => undefined);
  if (lines === undefined) return false;
  return (await fs.promises.readFile(journal, 'utf8')).split('\n').length - 1 > Number(lines);
}

fs.promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  if (!/journal\.jsonl$/.test(String(path))) return handle;
  const appendFile = handle.appendFile.bind(handle);
  handle.appendFile = async (...content) => {
    await appendFile(...content);
    while (await isHeld(path)) await delay(20);
  };
  return handle;
};
syncBuiltinESMExports();

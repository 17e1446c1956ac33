// Loaded into the processes of an editor: delays each copy of a file of the dataset `many`, so that exporting it takes
// longer than any test may, however fast the machine is.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';

const { copyFile } = fs.promises;
fs.promises.copyFile = async (from, ...rest) => {
  if (/[\\/]many[\\/][ab][\\/]/.test(String(from))) await delay(100);
  return copyFile(from, ...rest);
};
syncBuiltinESMExports();

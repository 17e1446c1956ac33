// Loaded into a command line that a test ends by force: reading ESPALIER_HANG never ends, and a file with `.hung` behind its
// name appears once it is read.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const file = process.env['ESPALIER_HANG'];
const { realpath } = fs.promises;

fs.promises.realpath = async (...args) => {
  if (args[0] !== file) return realpath(...args);
  fs.writeFileSync(`${file}.hung`, '');
  return new Promise(() => {
    setInterval(() => undefined, 1000);
  });
};
syncBuiltinESMExports();

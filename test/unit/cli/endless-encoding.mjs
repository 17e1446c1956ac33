// Loaded into a command line that a test stops while it encodes text: code that has a time limit runs without one, and
// the file ESPALIER_ENCODING appears when it begins.
import fs from 'node:fs';
import process from 'node:process';
import vm from 'node:vm';

const file = process.env['ESPALIER_ENCODING'] ?? '';
const { runInContext } = vm.Script.prototype;

vm.Script.prototype.runInContext = function (context, options) {
  const { run } = context;
  // Inside the script, where Node already listens to Ctrl-C.
  context['run'] = () => {
    fs.writeFileSync(file, '');
    return run();
  };
  return runInContext.call(this, context, { ...options, timeout: undefined });
};

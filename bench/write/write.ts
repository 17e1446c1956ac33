// Writes a model without some sublayers, and nothing else: node write.cjs MODEL FORMAT OUT REMOVED,…
// Prints {seconds, bytes, peakMegabytes, startMegabytes} as JSON: of the writing alone, source and result are not run.
import { mkdir, readFile } from 'node:fs/promises';
import process from 'node:process';
import { ByteCopier } from '../../extension/core/export/byte-copier';
import { chooseOutput } from '../../extension/core/export/output-options';
import { openModelFiles } from '../../extension/core/models/open-model';
import { writeSource } from '../../extension/core/export/write-source';
import type { OutputFormat } from '../../extension/core/export/output-formats';
import { checkChanges } from '../../extension/core/export/changes';
import { unattended } from '../../extension/core/jobs/job';

async function main([model = '', format = '', out = '', removed = '']: readonly string[]) {
  const source = writeSource(await openModelFiles(model));
  const changes = checkChanges(source.model.summary, removed.split(','));
  const target = await chooseOutput(source, changes, { format: format as OutputFormat });
  const run = { device: 'cpu', memoryBytes: 2 ** 30 } as const;
  const writer = await target.writer(changes, run, unattended);
  await mkdir(out, { recursive: true });
  const copier = new ByteCopier(writer.bytes, unattended);
  const startMegabytes = await peakMegabytes();
  const started = performance.now();
  await writer.write(out, copier);
  const seconds = (performance.now() - started) / 1000;
  await copier.close();
  const peak = await peakMegabytes();
  process.stdout.write(
    JSON.stringify({ seconds, bytes: writer.bytes, startMegabytes, peakMegabytes: peak }),
  );
}

/** Highest resident memory of this process so far. */
async function peakMegabytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

void main(process.argv.slice(2));

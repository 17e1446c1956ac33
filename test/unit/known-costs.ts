import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { costsFolder } from '../../extension/core/jobs/user-cache';

// Timing the products of a machine takes seconds of the processor, and its results differ: tests work with known costs.
const file = join(costsFolder(), 'cpu.json');
if (!existsSync(file)) {
  const { machine } = await import('./tensornet/machines');
  mkdirSync(costsFolder(), { recursive: true });
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, JSON.stringify(machine(1)));
  renameSync(partial, file);
}

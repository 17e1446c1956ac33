import { join } from 'node:path';
import process from 'node:process';
import type { WorkerTask } from '../core/distribute/local-engine';
import { serveTasks } from '../core/jobs/child-task';
import { openModelFiles } from '../core/models/open-model';
import { WorkItemRunner } from '../core/operations/run-work-item';

// ONNX Runtime sends telemetry unless it is disabled before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const runner = new WorkItemRunner(openModelFiles, join(import.meta.dirname, '..', 'samples'));

serveTasks(async (task, job) => runner.run(task as WorkerTask, job));

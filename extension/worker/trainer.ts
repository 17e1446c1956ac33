import process from 'node:process';
import { runSeedTask } from '../core/datadiet/training/seed-tasks';
import type { SeedTask } from '../core/datadiet/training/seed-task';
import { serveTasks } from '../core/jobs/child-task';

// ONNX Runtime reports home unless told not to before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

serveTasks(async (task, job) => runSeedTask(task as SeedTask, job));

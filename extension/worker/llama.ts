import { serveTasks } from '../core/jobs/child-task';
import { performLlamaTask } from '../core/runtime/llama/perform-task';
import type { LlamaTask } from '../core/runtime/llama/perform-task';

serveTasks(async (task, job) => performLlamaTask(task as LlamaTask, job));

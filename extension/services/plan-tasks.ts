import { l10n, ProcessExecution, Task, TaskGroup, tasks, workspace } from 'vscode';
import type { Disposable, TaskDefinition, Uri, WorkspaceFolder } from 'vscode';
import { documentGlob, documentNames } from '../core/document-names';
import { ownCommandLine } from './own-command-line';

/** A task as tasks.json has it. */
interface PlanTask extends TaskDefinition {
  readonly type: 'espalier';
  /** Path of the plan; like `out` relative to the workspace folder. */
  readonly plan: string;
  readonly out?: string;
  readonly options?: readonly string[];
}

const taskType = 'espalier';
/** Maximum number of plans in a workspace that get a task. */
const mostPlans = 50;

/** Lets plans be build steps: a task for each, which applies it and fails where the limits of its options are not met. */
export function offerPlanTasks(extensionUri: Uri): Disposable {
  return tasks.registerTaskProvider(taskType, {
    provideTasks: async () => {
      const plans = await workspace.findFiles(
        documentGlob('plan'),
        '**/node_modules/**',
        mostPlans,
      );
      return plans.flatMap((uri) => {
        const folder = workspace.getWorkspaceFolder(uri);
        const plan = workspace.asRelativePath(uri, false);
        return folder?.uri.scheme === 'file'
          ? [planTask({ type: taskType, plan }, folder, extensionUri)]
          : [];
      });
    },
    resolveTask: ({ definition, scope }) =>
      typeof scope === 'object' ? planTask(definition as PlanTask, scope, extensionUri) : undefined,
  });
}

function planTask(definition: PlanTask, folder: WorkspaceFolder, extensionUri: Uri): Task {
  const { plan, options = [], out = besidePlan(plan) } = definition;
  const { program, script, env } = ownCommandLine(extensionUri);
  const args = [script, 'apply', plan, '--out', out, '--overwrite', ...options];
  const task = new Task(
    definition,
    folder,
    l10n.t('apply {0}', plan),
    'Espalier',
    new ProcessExecution(program, args, { cwd: folder.uri.fsPath, env }),
    '$espalier',
  );
  task.group = TaskGroup.Build;
  task.detail = l10n.t('Write the model that the plan describes, and check it.');
  return task;
}

const besidePlan = (plan: string): string =>
  `${plan.slice(0, -documentNames.plan.suffix.length)}-applied`;

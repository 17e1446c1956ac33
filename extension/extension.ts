import { access } from 'node:fs/promises';
import process from 'node:process';
import { commands, Uri } from 'vscode';
import type { ExtensionContext } from 'vscode';
import { workRoot } from './core/jobs/work-folder';
import { canInstallCuda, hasNvidiaGpu } from './core/runtime/cuda/can-install';
import { canInstallLlama } from './core/runtime/llama/package';
import type * as Host from './host';
import { runInTurns } from './services/activation/run-in-turns';
import { loadQuietly, registerAll } from './services/activation/register-all';
import { ModelFolders } from './services/documents/model-folders';
import { offerPlanTasks } from './services/plan-tasks';
import { jobsFile } from './services/stored';

/** Exports of the extension for its own tests. */
export interface Activated {
  readonly espalier: () => Promise<Host.Espalier>;
  /** Milliseconds of processor time that `activate` took. Clock time would depend on what else the machine does. */
  readonly activatedIn: number;
}

async function importHost(): Promise<typeof Host> {
  await runInTurns([
    async () => import('./core/operations/operations'),
    async () => import('./services/worker/worker-client'),
    async () => import('./commands/run-command'),
  ]);
  return import('./host');
}

/** Registers everything VS Code may ask for. The rest is a second bundle, loaded on first use. */
export function activate(context: ExtensionContext): Activated {
  const started = process.cpuUsage();
  // The children that do the work inherit it.
  process.env[workRoot] = Uri.joinPath(context.globalStorageUri, 'work').fsPath;
  const folders = new ModelFolders();
  let host: Promise<Host.StartedHost> | undefined;
  const load = async (): Promise<Host.StartedHost> =>
    (host ??= importHost()
      .then(({ startHost }) => startHost(context, folders))
      .catch((error: unknown) => {
        // The next caller tries again.
        host = undefined;
        throw error;
      }));
  context.subscriptions.push(
    folders,
    registerAll(context.extension, load),
    offerPlanTasks(context.extensionUri),
  );
  void commands.executeCommand(
    'setContext',
    'espalier.canInstallCuda',
    canInstallCuda() && hasNvidiaGpu(),
  );
  void commands.executeCommand('setContext', 'espalier.canInstallLlama', canInstallLlama());
  // The host finds out what menus may offer for the models of the workspace.
  context.subscriptions.push(
    folders.onDidChange(() => {
      if (folders.folders.length > 0) {
        loadQuietly(load);
      }
    }),
  );
  // Report jobs that were interrupted when earlier windows closed.
  void access(jobsFile(context)).then(
    () => {
      loadQuietly(load);
    },
    () => undefined,
  );
  const { user, system } = process.cpuUsage(started);
  return {
    espalier: async () => (await load()).espalier,
    activatedIn: (user + system) / 1000,
  };
}

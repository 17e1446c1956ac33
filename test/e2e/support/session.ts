import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { chromium, type Browser } from 'playwright-core';
import { inject } from 'vitest';
import { CHROMIUM_FLAGS, ensureChromium } from '../../../scripts/lib/chromium.mjs';
import { startEditor, writeSettings } from '../../../scripts/lib/editor.mjs';
import { root } from '../../../scripts/lib/repository.mjs';
import { ConnectionRecorder, isLoopback } from '../../reliability/connections';
import type { Connection } from '../../reliability/connections';
import { Workbench } from './workbench';

/** The four themes that the panels are looked at in. */
export const THEMES = {
  light: { setting: 'Default Light Modern', bodyClass: 'vs' },
  dark: { setting: 'Default Dark Modern', bodyClass: 'vs-dark' },
  highContrast: { setting: 'Default High Contrast', bodyClass: 'hc-black' },
  highContrastLight: { setting: 'Default High Contrast Light', bodyClass: 'hc-light' },
} as const;

export interface SessionOptions {
  /** The folder copied into the workspace as `sample`; the bundled sample model by default. */
  readonly sample?: string;
  /** Puts more into the workspace before the editor opens it. */
  readonly prepare?: (workspace: string) => Promise<void>;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Paths of modules to load into each Node process of the editor. */
  readonly preloads?: readonly string[];
  /** Ask for workspace trust as a fresh editor does. */
  readonly trust?: boolean;
}

/** The module that {@link Session.holdJobs} needs in the processes of the editor. */
export const holdJobs = join(import.meta.dirname, 'hold-jobs.mjs');

/** A fresh editor with the extension installed, a workspace of its own, and a browser that shows it. */
export class Session {
  private changed: Readonly<Record<string, unknown>> = {};

  private constructor(
    private readonly scratch: string,
    private readonly editor: Awaited<ReturnType<typeof startEditor>>,
    private readonly browser: Browser,
    private readonly recorder: ConnectionRecorder,
    /** The folder that is open; the sample model is in its `sample`. */
    public readonly workspace: string,
    public readonly workbench: Workbench,
  ) {}

  public static async start(options: SessionOptions = {}): Promise<Session> {
    const scratch = await mkdtemp(join(tmpdir(), 'espalier-e2e-'));
    const [data, workspace] = [join(scratch, 'data'), join(scratch, 'workspace')];
    const sample = options.sample ?? join(root, 'samples', 'espalier-sample');
    await mkdir(workspace);
    await cp(sample, join(workspace, 'sample'), { recursive: true });
    await options.prepare?.(workspace);
    await writeSettings(data, {
      'workbench.colorTheme': THEMES.dark.setting,
      'files.exclude': { '.vscode': true },
      'explorer.compactFolders': false,
      // Animations are rendered by the CPU.
      'workbench.reduceMotion': 'on',
      'editor.cursorBlinking': 'solid',
      'git.enabled': false,
      ...options.settings,
    });
    const connections = join(scratch, 'connections');
    const { nodeArguments, environment } = ConnectionRecorder.start(connections, options.preloads);
    const editor = await startEditor(data, {
      extensions: inject('extensions'),
      trust: options.trust === true,
      nodeArguments,
      // Timings in the user's own cache could change which questions are asked.
      environment: { ...environment, XDG_CACHE_HOME: join(scratch, 'cache') },
    });
    const recorder = new ConnectionRecorder(editor.process.pid ?? 0, connections);
    const browser = await chromium.launch({
      executablePath: await ensureChromium(),
      args: CHROMIUM_FLAGS,
    });
    const workbench = await Workbench.open(browser, editor.address(workspace));
    return new Session(scratch, editor, browser, recorder, workspace, workbench);
  }

  /** Changes the theme while the editor runs, panels open. */
  public async setTheme(theme: keyof typeof THEMES): Promise<void> {
    await this.changeSettings({ 'workbench.colorTheme': THEMES[theme].setting });
    await this.workbench.page.locator(`.monaco-workbench.${THEMES[theme].bodyClass}`).waitFor();
  }

  /** Changes workspace settings while the editor runs (code-server reads the user's only at its start). */
  public async changeSettings(settings: Readonly<Record<string, unknown>>): Promise<void> {
    this.changed = { ...this.changed, ...settings };
    const folder = join(this.workspace, '.vscode');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'settings.json'), JSON.stringify(this.changed, null, 2));
  }

  /** Process id of the worker that this editor's extension has forked. */
  public async workerPid(): Promise<number> {
    const { stdout } = await promisify(execFile)('ps', ['-axww', '-o', 'pid=,ppid=,args=']);
    const processes = new Map(
      stdout.split('\n').flatMap((line) => {
        const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*?)\s*$/.exec(line) ?? [];
        return command === undefined
          ? []
          : [[Number(pid), { parent: Number(parent), command }] as const];
      }),
    );
    const isOurs = (pid: number): boolean => {
      const found = processes.get(pid);
      return found !== undefined && (found.command.includes(this.scratch) || isOurs(found.parent));
    };
    for (const [pid, { command }] of processes) {
      if (command.endsWith('worker.js') && isOurs(pid)) return pid;
    }
    throw new Error('no worker runs in this editor');
  }

  /**
   * Pauses jobs until {@link releaseJobs} once their journal has more than `lines` lines. The first line identifies the
   * job. `preloads` of the session must contain {@link holdJobs}.
   */
  public async holdJobs(lines: number): Promise<void> {
    // In one step: a job may read it at any time.
    const partial = join(this.scratch, 'hold.partial');
    await writeFile(partial, String(lines));
    await rename(partial, join(this.scratch, 'hold'));
  }

  public async releaseJobs(): Promise<void> {
    await rm(join(this.scratch, 'hold'), { force: true });
  }

  /** Text of a file of unfinished work, by the end of its path; empty where there is none. */
  public async savedWork(...end: readonly string[]): Promise<string> {
    const places = ['server', 'user'].map((name) => join(this.scratch, 'data', name));
    for (const place of places) {
      const storage = await readdir(place, { recursive: true }).catch((): string[] => []);
      const found = storage.find(
        (path) => path.includes(join('espalier.espalier', 'work')) && path.endsWith(join(...end)),
      );
      if (found !== undefined) return readFile(join(place, found), 'utf8').catch(() => '');
    }
    return '';
  }

  /** @returns hosts beyond this machine that a panel or a process of the extension has asked for until now */
  public strangers(): readonly Connection[] {
    const panels = this.workbench.requested.map((host) => ({ host, by: 'panel' }));
    // The editor's server looks for a marketplace.
    const processes = this.recorder.sample().filter(({ by }) => by !== 'server-main.js');
    return [...panels, ...processes].filter(({ host }) => !isLoopback(host));
  }

  /** Names of the scripts of this editor that tell what they talk to. */
  public get watched(): ReadonlySet<string> {
    return this.recorder.watched;
  }

  public async close(): Promise<void> {
    this.recorder.stop();
    await this.browser.close();
    await this.editor.close();
    await rm(this.scratch, { recursive: true, force: true, maxRetries: 3 });
  }
}

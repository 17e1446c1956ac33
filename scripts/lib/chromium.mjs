import { join } from 'node:path';
import process from 'node:process';
import { findProgram, isExecutable } from './processes.mjs';
import { canUseApt, ensureDebianPackages } from './system-packages.mjs';

const NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  'microsoft-edge',
  'microsoft-edge-stable',
  'chrome',
  'msedge',
];

/** Flags under which Chromium runs headless in a container, moves nothing that needs not move, and calls nobody. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-smooth-scrolling',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** For a page of the editor: what turns while a job runs would be drawn by the processor, twenty times a second. */
export const STAND_STILL = `{
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    '.codicon-modifier-spin::before, .codicon-modifier-spin, .progress-bit { animation: none !important }',
  );
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}`;

/**
 * A Chromium of the system, installed by apt as root where there is none.
 * @returns {Promise<string>} the executable
 */
export async function ensureChromium() {
  const found = findChromium();
  if (found !== undefined) return found;
  if (canUseApt()) {
    await ensureDebianPackages(['chromium']);
    const installed = findChromium();
    if (installed !== undefined) return installed;
  }
  throw new Error(
    'No Chromium, Chrome or Edge was found. Install one, or set CHROMIUM_EXECUTABLE to its path.',
  );
}

/** @returns {string | undefined} */
function findChromium() {
  const named = process.env['CHROMIUM_EXECUTABLE'];
  if (named) {
    if (isExecutable(named)) return named;
    throw new Error(`CHROMIUM_EXECUTABLE is ${named}, which is not an executable file`);
  }
  return findProgram(NAMES) ?? applications().find((file) => isExecutable(file));
}

function applications() {
  if (process.platform === 'darwin') {
    return ['Google Chrome', 'Microsoft Edge', 'Chromium'].map((name) =>
      join('/Applications', `${name}.app`, 'Contents', 'MacOS', name),
    );
  }
  const programs = [process.env['ProgramFiles'], process.env['ProgramFiles(x86)']];
  return programs.flatMap((folder) =>
    folder
      ? [
          join(folder, 'Google', 'Chrome', 'Application', 'chrome.exe'),
          join(folder, 'Microsoft', 'Edge', 'Application', 'msedge.exe'),
        ]
      : [],
  );
}

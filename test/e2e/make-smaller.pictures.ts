import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { animatedPng } from './support/animated-png';
import type { Frame } from './support/animated-png';
import { patienceMilliseconds } from './support/patience';
import { useSession } from './support/use-session';

// The animation of media/readme/: npm run package && npm run pictures
const session = useSession({ settings: { 'espalier.device': 'cpu' } });

it('from a right-click to a smaller model', async () => {
  const { workbench, workspace } = session();
  const { page } = workbench;
  await page.setViewportSize({ width: 1080, height: 660 });
  await session().setTheme('light');
  await workbench.extensionKnown();
  const frames: Frame[] = [];
  const take = async (seconds: number): Promise<void> => {
    await page.waitForTimeout(600);
    frames.push({ png: await page.screenshot(), seconds });
  };

  await workbench.explorerMenu(['sample'], 'Espalier');
  const entry = await workbench.menuItem('Make Smaller…').boundingBox();
  if (entry === null) throw new Error('the menu closed');
  await page.mouse.move(entry.x + 40, entry.y + entry.height / 2, { steps: 10 });
  await take(2.5);
  await workbench.closeMenus();

  await workbench.explorerMenu(['sample'], 'Espalier', 'Make Smaller…');
  const program = workbench.quickPick('llama.cpp, Ollama, LM Studio');
  await program.waitFor({ timeout: patienceMilliseconds });
  await take(2.5);
  await program.click();
  const size = workbench.quickPick('Q5_K_M');
  await size.waitFor({ timeout: patienceMilliseconds });
  await size.hover();
  await take(3.5);
  await size.click();

  const report = await workbench.webview('.command');
  await workbench.tab('Report: sample-Q5_K_M').waitFor();
  await workbench.runCommand('Notifications: Clear All Notifications');
  // The workspace is a temporary folder with a long path.
  await report.locator('code').evaluateAll((commands, folder) => {
    for (const command of commands) {
      command.textContent = command.textContent.replaceAll(`${folder}/`, '');
    }
  }, workspace);
  await page.mouse.move(0, 0);
  await take(6);
  await writeFile(join(root, 'media', 'readme', 'make-smaller.png'), animatedPng(frames));
});

import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { accessibilityViolations } from './support/accessibility';
import { patienceMilliseconds } from './support/patience';
import { useSession } from './support/use-session';

describe('from a right-click to a smaller model', () => {
  const session = useSession({ settings: { 'espalier.device': 'cpu' } });

  it('asks for program and size, and shows a report', async () => {
    const { workbench, workspace } = session();
    await workbench.explorerMenu(['sample'], 'Espalier', 'Make Smaller…');
    const llama = workbench.quickPick('llama.cpp, Ollama, LM Studio');
    await llama.waitFor({ timeout: patienceMilliseconds });
    await workbench.screenshot('make-smaller-where');
    await llama.click();
    const type = workbench.quickPick('Q5_K_M');
    await type.waitFor({ timeout: patienceMilliseconds });
    const list = await workbench.quickInput().page().locator('.quick-input-list').innerText();
    expect(list).toContain('Half the size');
    expect(list).toMatch(/3\.04 MiB\s+−58\s%/);
    expect(list).toMatch(/small loss · about/);
    await workbench.screenshot('make-smaller-sizes');
    await type.click();

    const report = await workbench.webview('.command');
    await workbench.tab('Report: sample-Q5_K_M').waitFor();
    const text = await report.locator('main').innerText();
    expect(text).toMatch(/3\.04 MiB/);
    expect(text).toMatch(/KL divergence/i);
    expect(text).toMatch(/95 % interval/);
    expect(text).toMatch(/llama-server -m .*sample-Q5_K_M\.gguf/);
    expect(text).toMatch(/ollama create/);
    for (const name of ['Try It', 'Reveal', 'Even Smaller…', 'Compare']) {
      await report.getByRole('button', { name }).waitFor();
    }
    expect(await accessibilityViolations(report)).toEqual([]);
    await workbench.screenshot('make-smaller-report');
    const file = join(workspace, 'sample-Q5_K_M', 'sample-Q5_K_M.gguf');
    expect(existsSync(file)).toBe(true);
    expect((await stat(file)).size).toBe(3_185_568);
  });

  it('offers other sizes of the original from the report, with the loss that was measured', async () => {
    const { workbench } = session();
    const report = await workbench.webview('.command');
    await report.getByRole('button', { name: 'Even Smaller…' }).click();
    const type = workbench.quickPick('Q5_K_M');
    await type.waitFor({ timeout: patienceMilliseconds });
    expect(await type.innerText()).toMatch(/perplexity .*\(measured\)/);
    await workbench.screenshot('make-smaller-again');
    await workbench.page.keyboard.press('Escape');
  });

  it('appears for common search terms', async () => {
    const { workbench } = session();
    for (const word of ['quantize', 'shrink', 'compress', 'gguf', 'ollama']) {
      expect(await workbench.commandTitles(word), word).toContainEqual(
        expect.stringContaining('Make Model Smaller…'),
      );
    }
  });
});

import { readSmallText } from './regular-file';

/**
 * The text of a config.json as JSON: Python writes infinities as words, which JSON has not; a number beyond all
 * others stands for one in either.
 * @throws UserError naming the file when it is missing or too large.
 */
export async function readConfigText(file: string): Promise<string> {
  const text = await readSmallText(file);
  try {
    JSON.parse(text);
    return text;
  } catch {
    return text.replaceAll(/([:[,]\s*-?)Infinity\b/g, '$11e999');
  }
}

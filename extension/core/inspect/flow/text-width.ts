/** Letters of Chinese, Japanese and Korean, and their punctuation. */
const wide = /[\u1100-\u115F\u2E80-\u9FFF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE4F\uFF00-\uFF60]/g;
/** How many Latin letters they are as wide as, with the margin that is left for unknown fonts. */
const lettersOfWide = 1.75;

/** About how wide a text is, in pixels; `letter` is the width of a Latin letter. */
export function textWidth(text: string, letter: number): number {
  const count = text.match(wide)?.length ?? 0;
  return (text.length + (lettersOfWide - 1) * count) * letter;
}

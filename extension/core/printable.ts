/**
 * A text from elsewhere as it may stand in a terminal: characters that nobody sees, such as those that move the cursor
 * or turn the direction of writing, as `\u{…}`.
 */
export const printable = (text: string): string =>
  text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`,
  );

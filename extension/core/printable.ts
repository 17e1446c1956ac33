const escaped = (one: string): string => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`;

/**
 * Escapes invisible characters of an untrusted text for a terminal, such as those that move the cursor or reverse the
 * writing direction, as `\u{…}`.
 */
export const printable = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);

/**
 * A text of several lines as it may stand on a page: what turns the direction of writing, controls and spaces without
 * width as `\u{…}`. Line ends, tabs and what joins letters of a script stay.
 */
export const printableText = (text: string): string =>
  text
    .replaceAll('\r\n', '\n')
    .replaceAll(
      /[^\P{Cc}\n\t]|[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
      escaped,
    );

import { describe, expect, it } from 'vitest';
import { inEnglish, say } from '../../../extension/core/message';
import { tell } from '../../../webview/translate';

describe('a message', () => {
  const place = 'models/a (--old).gguf';
  const message = say`${place}: ${say`Keep it (--protect, --granularity block), or leave it.`}`;

  it('shows the flags on the command line', () => {
    expect(inEnglish(message)).toBe(
      'models/a (--old).gguf: Keep it (--protect, --granularity block), or leave it.',
    );
  });

  it('leaves flags out in a panel, and keeps its values', () => {
    expect(tell(message)).toBe('models/a (--old).gguf: Keep it, or leave it.');
  });
});

import { signal } from '@preact/signals';
import { onThemeChange } from '../charts/theme-colors';

/** Counts the changes of the theme: who reads it draws again with the colors of the new one. */
const changes = signal(0);
let isWatching = false;

export function themeChanges(): number {
  if (!isWatching) {
    isWatching = true;
    onThemeChange(() => {
      changes.value++;
    });
  }
  return changes.value;
}

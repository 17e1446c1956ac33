/** The theme's colors that charts draw with; a canvas cannot use CSS variables itself. */
export interface ThemeColors {
  readonly foreground: string;
  readonly muted: string;
  readonly grid: string;
  readonly background: string;
  readonly tooltipBackground: string;
  readonly tooltipBorder: string;
  readonly fontFamily: string;
  readonly series: Readonly<Record<SeriesColor, string>>;
}

export const seriesColors = ['blue', 'yellow', 'green', 'purple', 'red'] as const;
export type SeriesColor = (typeof seriesColors)[number];

export function readThemeColors(): ThemeColors {
  const style = getComputedStyle(document.body);
  const first = (...names: readonly string[]) => {
    for (const name of names) {
      const value = style.getPropertyValue(`--vscode-${name}`).trim();
      if (value !== '') return value;
    }
    return style.color;
  };
  const highContrast = document.body.classList.contains('vscode-high-contrast');
  return {
    foreground: first('foreground', 'editor-foreground'),
    muted: first('descriptionForeground', 'foreground'),
    grid: highContrast
      ? first('contrastBorder', 'foreground')
      : first('editorIndentGuide-background1', 'charts-lines'),
    background: first('editor-background'),
    tooltipBackground: first('editorHoverWidget-background', 'editor-background'),
    tooltipBorder: first('editorHoverWidget-border', 'contrastBorder', 'foreground'),
    fontFamily: first('font-family'),
    series: {
      blue: first('charts-blue'),
      yellow: first('charts-yellow'),
      green: first('charts-green'),
      purple: first('charts-purple'),
      red: first('charts-red'),
    },
  };
}

/** Calls back when the editor's theme changes: VS Code sets classes of body and variables of html. */
export function onThemeChange(changed: () => void): void {
  const observer = new MutationObserver(changed);
  const attributes = { attributes: true, attributeFilter: ['class', 'style'] };
  observer.observe(document.documentElement, attributes);
  observer.observe(document.body, attributes);
}

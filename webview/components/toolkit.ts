import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';

/**
 * The only file that knows which component library the panels use: the toolkit is archived upstream,
 * and another library replaces it here. Its data grid, progress ring and tag are left out: they set
 * inline styles, which the panels' content security policy blocks.
 */
export function registerComponents(): void {
  provideVSCodeDesignSystem().register(
    vsCodeButton(),
    vsCodeCheckbox(),
    vsCodeDropdown(),
    vsCodeOption(),
    vsCodeTextField(),
  );
  // It reads the theme's colours at the page's load, which has been where it comes later.
  if (document.readyState === 'complete') window.dispatchEvent(new Event('load'));
}

import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';

/**
 * The only file that depends on the component library of the panels: the toolkit is archived upstream, and another
 * library can replace it here. Its data grid, progress ring and tag are left out: they set inline styles, which the
 * panels' content security policy blocks. Each component is registered in a separate task, since registering redraws
 * its elements on the page.
 */
export async function registerComponents(): Promise<void> {
  const components = [
    vsCodeButton(),
    vsCodeCheckbox(),
    // A list of choices reads its options when it comes.
    vsCodeOption(),
    vsCodeDropdown(),
    vsCodeTextField(),
  ];
  for (const component of components) {
    provideVSCodeDesignSystem().register(component);
    await new Promise((next) => {
      setTimeout(next);
    });
  }
  // It reads the theme's colors at the page's load, which has been where it comes later.
  if (document.readyState === 'complete') window.dispatchEvent(new Event('load'));
}

/** Attribute values; `true` is an empty attribute, `false` and undefined are none. Styles go through CSSOM. */
type Attributes = Readonly<Record<string, string | number | boolean | undefined>> & {
  readonly style?: never;
};
type Child = Node | string | undefined;

const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes and children; strings become text, never markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled<E extends Element>(
  element: E,
  attributes: Attributes,
  children: readonly Child[],
): E {
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** Sets, or removes, an attribute where it differs, so that observers and transitions stay quiet. */
export function setAttribute(
  element: Element,
  name: string,
  value: string | number | boolean | undefined,
): void {
  if (value === undefined || value === false) {
    element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Replaces the children only where they differ, so that focus inside is not lost for nothing. */
export function setChildren(element: Element, children: readonly Node[]): void {
  const same =
    element.childNodes.length === children.length &&
    children.every((child, index) => element.childNodes[index] === child);
  if (!same) element.replaceChildren(...children);
}

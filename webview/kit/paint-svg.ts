/** Pixels per unit of a drawing, unless it is too large. */
const sharpness = 2;
/** Browsers make no canvas with longer sides or more pixels. */
const [longestSide, mostPixels] = [16_000, 64e6];

/**
 * Paints a drawing of rectangles, circles, paths and texts as the stylesheet has it now. An image of its source would be
 * shorter, but the policy of panels lets no image in, and a source knows no stylesheet.
 */
export function paintSvg(svg: SVGSVGElement): HTMLCanvasElement {
  const { width, height } = svg.viewBox.baseVal;
  const scale = Math.min(
    sharpness,
    longestSide / Math.max(width, height),
    Math.sqrt(mostPixels / (width * height)),
  );
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d');
  if (context === null) return canvas;
  const shown = canvas.width / svg.width.baseVal.value;
  for (const element of svg.querySelectorAll<SVGGraphicsElement>(
    ':is(rect, circle, path, text):not(defs *, .focus)',
  )) {
    const matrix = element.getCTM();
    if (matrix === null) continue;
    const { a, b, c, d, e, f } = matrix;
    context.setTransform(...([a, b, c, d, e, f].map((part) => part * shown) as Six));
    if (element instanceof SVGTextElement) paintText(context, element);
    else paintShape(context, element);
  }
  return canvas;
}

type Six = [number, number, number, number, number, number];

function paintShape(context: CanvasRenderingContext2D, element: SVGGraphicsElement): void {
  const style = getComputedStyle(element);
  const outline = elementOutline(element);
  paint(context, style, {
    fill: () => {
      context.fill(outline);
    },
    stroke: () => {
      context.stroke(outline);
    },
  });
  if (element instanceof SVGPathElement) paintArrow(context, element, style);
}

function elementOutline(element: SVGGraphicsElement): Path2D {
  if (element instanceof SVGPathElement) return new Path2D(element.getAttribute('d') ?? '');
  const outline = new Path2D();
  if (element instanceof SVGRectElement) {
    const [x, y, width, height, rx] = (['x', 'y', 'width', 'height', 'rx'] as const).map(
      (name) => element[name].baseVal.value,
    );
    outline.roundRect(x ?? 0, y ?? 0, width ?? 0, height ?? 0, rx);
  } else if (element instanceof SVGCircleElement) {
    outline.arc(
      element.cx.baseVal.value,
      element.cy.baseVal.value,
      element.r.baseVal.value,
      0,
      2 * Math.PI,
    );
  }
  return outline;
}

/** The marker at the end of a path, rotated in the path's direction. */
function paintArrow(
  context: CanvasRenderingContext2D,
  path: SVGPathElement,
  { strokeWidth }: CSSStyleDeclaration,
): void {
  const id = /^url\(#(.+)\)$/.exec(path.getAttribute('marker-end') ?? '')?.[1];
  const marker = id === undefined ? null : path.ownerSVGElement?.getElementById(id);
  const head = marker?.querySelector('path');
  if (!(marker instanceof SVGMarkerElement) || !head) return;
  const length = path.getTotalLength();
  const [before, end] = [length - 1, length].map((at) => path.getPointAtLength(at));
  if (before === undefined || end === undefined) return;
  const scale =
    (Number.parseFloat(strokeWidth) * marker.markerWidth.baseVal.value) /
    marker.viewBox.baseVal.width;
  context.save();
  context.translate(end.x, end.y);
  context.rotate(Math.atan2(end.y - before.y, end.x - before.x));
  context.scale(scale, scale);
  context.translate(-marker.refX.baseVal.value, -marker.refY.baseVal.value);
  paintShape(context, head);
  context.restore();
}

/** Each piece of a text, in its own font, at the place where the browser has put its first letter. */
function paintText(context: CanvasRenderingContext2D, element: SVGTextElement): void {
  const pieces = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let first = 0;
  for (let piece = pieces.nextNode(); piece !== null; piece = pieces.nextNode()) {
    const text = piece.nodeValue ?? '';
    if (text === '' || piece.parentElement === null) continue;
    const { x, y } = element.getStartPositionOfChar(first);
    first += text.length;
    const style = getComputedStyle(piece.parentElement);
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    paint(context, style, {
      fill: () => {
        context.fillText(text, x, y);
      },
      stroke: () => {
        context.strokeText(text, x, y);
      },
    });
  }
}

/** Fills and strokes in the order and the colors of a style. */
function paint(
  context: CanvasRenderingContext2D,
  style: CSSStyleDeclaration,
  act: Readonly<Record<'fill' | 'stroke', () => void>>,
): void {
  const order = style.paintOrder.startsWith('stroke')
    ? (['stroke', 'fill'] as const)
    : (['fill', 'stroke'] as const);
  for (const part of order) {
    if (style[part] === 'none') continue;
    context[`${part}Style`] = style[part];
    context.lineWidth = Number.parseFloat(style.strokeWidth);
    context.lineJoin = style.strokeLinejoin === 'round' ? 'round' : 'miter';
    context.miterLimit = Number.parseFloat(style.strokeMiterlimit);
    context.setLineDash(style.strokeDasharray.split(',').map(Number.parseFloat).filter(Boolean));
    act[part]();
  }
}

import type { VNode } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { saveImage } from '../kit/save-image';
import { strings } from '../strings';
import { named } from '../translate';

interface CopyImageProps {
  readonly draw: () => HTMLCanvasElement | null;
  /** Description of the image. */
  readonly label: string;
}

/** Time that the button shows the confirmation, in milliseconds. */
const copiedMilliseconds = 2000;

/**
 * Copies a chart or a drawing as an image, or saves it if the clipboard does not accept images. Shown on hover, if the
 * device has a pointer.
 */
export function CopyImage({ draw, label }: CopyImageProps): VNode {
  const [isCopied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const copy = async (): Promise<void> => {
    const drawn = draw();
    if (drawn === null) return;
    const image = withBackground(drawn);
    if (!(await toClipboard(image))) {
      saveImage(image.toDataURL('image/png'));
      return;
    }
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setCopied(false);
    }, copiedMilliseconds);
  };
  return (
    <>
      <button
        type="button"
        class="copy-image"
        aria-label={named(strings.copyImage, label)}
        onClick={() => {
          void copy();
        }}
      >
        {isCopied ? strings.copied : strings.copyImage}
      </button>
      {/* What is inside a button is not announced. */}
      <span class="sr-only" role="status">
        {isCopied ? strings.copied : ''}
      </span>
    </>
  );
}

/** Canvas with an opaque background: drawings are transparent where they are empty. */
function withBackground(drawn: HTMLCanvasElement): HTMLCanvasElement {
  const image = document.createElement('canvas');
  image.width = drawn.width;
  image.height = drawn.height;
  const context = image.getContext('2d');
  if (context !== null) {
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, image.width, image.height);
    context.drawImage(drawn, 0, 0);
  }
  return image;
}

/** True if the clipboard accepted the image: some systems and browsers do not let pages write images. */
async function toClipboard(image: HTMLCanvasElement): Promise<boolean> {
  const png = await new Promise<Blob | null>((resolve) => {
    image.toBlob(resolve, 'image/png');
  });
  if (png === null) return false;
  try {
    await navigator.clipboard.write([new ClipboardItem({ [png.type]: png })]);
    return true;
  } catch {
    return false;
  }
}

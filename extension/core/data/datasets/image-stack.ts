import { formatBytes } from '../../format';
import { UserError } from '../../user-error';
import type { ErrorPlace } from '../../user-error';
import { toGray, toRgb } from '../image/pixels';
import type { Pixels } from '../image/pixels';
import { resize } from '../image/resize';
import { maxArrayBytes } from '../npy';
import type { NumericArray } from '../../checkpoints/numeric-array';
import type { DatasetOptions } from './dataset';
import { say } from '../../message';

/** Array of images of the same size, channels first. */
export class ImageStack {
  private readonly channels: number;
  private readonly wanted: DatasetOptions['imageSize'];
  private first: Pixels | undefined;
  private data = new Uint8Array(0);
  private count = 0;

  public constructor(
    private readonly capacity: number,
    { imageChannels = 3, imageSize }: DatasetOptions,
  ) {
    this.channels = imageChannels;
    this.wanted = imageSize;
  }

  /**
   * Adds an RGBA image, resized if a size was requested.
   * @param place subject of the error
   * @throws UserError if its size differs from the first image's, or if memory runs out.
   */
  public push(image: Pixels, place: ErrorPlace): void {
    const sized = this.toSize(image);
    this.first ??= this.allocate(sized);
    const { height, width } = this.first;
    if (sized.height !== height || sized.width !== width) {
      throw new UserError(
        'image-size-mismatch',
        say`The image has ${image.width}×${image.height} pixels, but the first has ${width}×${height}.`,
        { ...place, remedy: say`Choose a size to resize all images to.` },
      );
    }
    const area = height * width;
    let to = this.count * this.channels * area;
    for (let channel = 0; channel < this.channels; channel++) {
      for (let pixel = 0; pixel < area; pixel++) {
        this.data[to++] = sized.data[pixel * this.channels + channel] ?? 0;
      }
    }
    this.count++;
  }

  /** Returns all images, [images, channels, height, width]. */
  public toArray(): NumericArray {
    const { height = 0, width = 0 } = this.first ?? {};
    return { dtype: 'U8', dims: [this.count, this.channels, height, width], data: this.data };
  }

  private toSize(image: Pixels): Pixels {
    const rgb = toRgb(image, 'ignore');
    const colors = this.channels === 1 ? toGray(rgb) : rgb;
    return this.wanted === undefined
      ? colors
      : resize(colors, this.wanted.height, this.wanted.width, 'bilinear');
  }

  private allocate(first: Pixels): Pixels {
    const bytes = this.capacity * first.data.length;
    if (bytes > maxArrayBytes) {
      throw new UserError(
        'images-too-large',
        say`${this.capacity} images of ${first.width}×${first.height} pixels take ${formatBytes(bytes)}.`,
        {
          field: 'imageSize',
          remedy: say`Choose a smaller size: at most ${formatBytes(maxArrayBytes)} are held in memory.`,
        },
      );
    }
    this.data = new Uint8Array(bytes);
    return first;
  }
}

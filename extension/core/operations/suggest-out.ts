import { basename, dirname, extname, join } from 'node:path';
import { locateModel, locateOnnx } from '../checkpoints/model-folder';

/** `NAME<suffix>` beside a model: where a result goes if the user names no file. */
export async function besideModel(model: string, suffix: string): Promise<string> {
  const onnx = await locateOnnx(model);
  if (onnx !== undefined) {
    return join(dirname(onnx), `${basename(onnx, extname(onnx))}${suffix}`);
  }
  const { path, name } = await locateModel(model);
  return join(dirname(path), `${name}${suffix}`);
}

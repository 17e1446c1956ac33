// Opens an ONNX file with ONNX Runtime alone.
//     node load-onnx.mjs FILE
import process from 'node:process';
import { InferenceSession } from 'onnxruntime-node';

const session = await InferenceSession.create(process.argv[2] ?? '');
process.stdout.write(`${session.inputNames.join(', ')} → ${session.outputNames.join(', ')}\n`);

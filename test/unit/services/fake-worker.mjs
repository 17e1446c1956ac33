// A worker that answers by the model's name instead of running one.
import process from 'node:process';
import {
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  ResponseError,
} from 'vscode-jsonrpc/node';

const connection = createMessageConnection(
  new IPCMessageReader(process),
  new IPCMessageWriter(process),
);
const progress = { stage: { code: 'a', parameters: [] }, done: 1, total: 2, unit: 'steps' };
/** The only piece of an answer. */
const whole = (value) => ({ piece: { path: [], value }, isLast: true });
/** Sends a notification before the next line runs: a thread that blocks sends nothing. */
const notifyNow = (job, message) =>
  process.send({ jsonrpc: '2.0', method: 'job', params: { job, message } });
const notify = (job, message) => connection.sendNotification('job', { job, message });

connection.onRequest('inspect', ({ request }) => {
  if (request.model === 'bad') {
    throw new ResponseError(1, 'bad/config.json: no model_type.', {
      kind: 'user',
      problem: { code: 'no {0}.', parameters: ['model_type'] },
      subject: { file: 'bad/config.json', field: 'model_type' },
    });
  }
  return whole({ name: request.model, fingerprint: String(process.pid) });
});
connection.onRequest('compare', ({ job }) => {
  notifyNow(job, { kind: 'progress', progress });
  for (;;); // reads weights and does not listen
});
connection.onRequest('diagram', () => whole({ reason: 'drawn' }));
connection.onRequest('devices', () => whole([{ name: process.env['ORT_DISABLE_TELEMETRY'] }]));
connection.onRequest('evaluate', ({ job }, token) => {
  void notify(job, { kind: 'progress', progress });
  return new Promise((_, reject) => {
    token.onCancellationRequested(() => {
      reject(new ResponseError(2, 'Cancelled.', { kind: 'cancelled' }));
    });
  });
});
connection.onRequest('profile', async ({ job, request }) => {
  await notify(job, { kind: 'warning', warning: { code: 'falls back', parameters: [] } });
  notifyNow(job, { kind: 'event', event: { kind: 'cosine-local', distances: [] } });
  if (request.model === 'crash') process.kill(process.pid, 'SIGKILL');
  if (request.model === 'exit') process.exit(3);
  if (request.model === 'deaf') for (;;); // as ONNX Runtime blocks the thread
  return whole({ format: 'espalier.layerprofile' });
});
process.on('disconnect', () => process.exit(0));
connection.listen();

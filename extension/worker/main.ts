import process from 'node:process';
import { operations } from '../core/operations/operations';
import type { WorkerRequests } from '../protocol/worker';
import { answering } from './answer';
import { converse } from './converse';
import { expect } from '../core/operations/estimate';
import { environment } from './environment';
import { serve } from './serve';

// ONNX Runtime sends telemetry unless it is disabled before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

serve<WorkerRequests>({
  ...answering(operations),
  converse,
  expect: async (request, context) => expect(request, { ...context, environment }),
});

import process from 'node:process';
import { handlers } from './handlers';
import { serve } from './serve';

// ONNX Runtime reports home unless told not to before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

serve(handlers);

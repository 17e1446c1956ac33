import type { JobRecord } from '../jobs/job-record';
import { getOperation } from '../jobs/operations';

/** Storage key of a job's report: the operation and the fields that it declares, or the path of its output. */
export function reportKey({ operation, request }: JobRecord): string {
  const { reportedBy } = getOperation(operation);
  const values = (reportedBy ?? ['out']).map((field): unknown => Reflect.get(request, field));
  const texts = values.map((value) => (typeof value === 'string' ? value : ''));
  return (reportedBy === undefined ? texts : [operation, ...texts]).join('\n');
}

import { decodeParquet } from '../core/data/datasets/check-parquet';
import type { ParquetTask } from '../core/data/datasets/check-parquet';
import { serveTask } from '../core/jobs/child-task';

serveTask(async (task) => decodeParquet(task as ParquetTask));

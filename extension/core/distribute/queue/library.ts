// Bundled separately, since these clients are only loaded if a queue is configured.
export { Queue, Worker } from 'bullmq';
export { Redis } from 'ioredis';

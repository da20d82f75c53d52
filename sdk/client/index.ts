export { createProgressClient } from './client.js';
export { ClosedError, EdgeError, ForbiddenError, UnauthorizedError } from './errors.js';
export type * from './types.js';

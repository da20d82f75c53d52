/** The `job_type` of the demo's jobs. */
export const JOB_TYPE = 'document';

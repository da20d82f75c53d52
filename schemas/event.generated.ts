// Written by `npm run schemas`, from event.ts.
import type { Schema } from './schema.js';

/** An event, by the fields that the protocol names. Others are kept and passed on. */
export interface EventFields {
  /** The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token. */
  processing_id: string;
  status: "processing" | "completed" | "error";
  /** Percent. */
  progress: number;
  /** RFC 3339; when the worker made the event. */
  timestamp: string;
  type?: "progress_update";
  /** For people. */
  message?: string;
  /** The kind of job: 1 to 64 of A-Z a-z 0-9 _ . - */
  job_type?: string;
  /** Rises with every retry. */
  attempt?: number;
  /** Which step of how many the job is in. */
  step?: {
    /** What the job is doing now. */
    name?: string;
    index?: number;
    total?: number;
  };
  /** true: `progress` says nothing. */
  indeterminate?: boolean;
  /** Seconds left, estimated. */
  eta_seconds?: number;
  /** Silence for so many seconds is a stall. */
  stall_after_seconds?: number;
  /** Silence for so many seconds is a failure. */
  timeout_seconds?: number;
  /** Any JSON. Only with status "completed". */
  result?: unknown;
  /** Why the job failed. Only with status "error". */
  error?: {
    /** For programs. */
    code?: string;
    /** For people. */
    message?: string;
    /** true: another attempt may follow, so the job is not finished. */
    retryable?: boolean;
    details?: unknown;
  };
}

/** What an event has to fit, but for what only an end may have: `misplacedEnding` of event-check.ts. */
export const EVENT_SCHEMA = {
  "description": "One message on progress.<processing_id>: the whole current state of a job, at most 64 KiB, and at most 64 levels deep.",
  "type": "object",
  "required": [
    "processing_id",
    "status",
    "progress",
    "timestamp"
  ],
  "properties": {
    "processing_id": {
      "pattern": "^[A-Za-z0-9_-]{1,128}$",
      "description": "The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token.",
      "type": "string"
    },
    "status": {
      "anyOf": [
        {
          "const": "processing",
          "type": "string"
        },
        {
          "const": "completed",
          "type": "string"
        },
        {
          "const": "error",
          "type": "string"
        }
      ]
    },
    "progress": {
      "minimum": 0,
      "maximum": 100,
      "description": "Percent.",
      "type": "number"
    },
    "timestamp": {
      "format": "date-time",
      "description": "RFC 3339; when the worker made the event.",
      "type": "string"
    },
    "type": {
      "const": "progress_update",
      "type": "string"
    },
    "message": {
      "type": "string",
      "maxLength": 4096,
      "description": "For people."
    },
    "job_type": {
      "pattern": "^[A-Za-z0-9_.-]{1,64}$",
      "description": "The kind of job: 1 to 64 of A-Z a-z 0-9 _ . -",
      "type": "string"
    },
    "attempt": {
      "minimum": 1,
      "maximum": 9007199254740991,
      "description": "Rises with every retry.",
      "type": "integer"
    },
    "step": {
      "description": "Which step of how many the job is in.",
      "type": "object",
      "properties": {
        "name": {
          "type": "string",
          "maxLength": 256,
          "description": "What the job is doing now."
        },
        "index": {
          "minimum": 0,
          "maximum": 9007199254740991,
          "type": "integer"
        },
        "total": {
          "minimum": 0,
          "maximum": 9007199254740991,
          "type": "integer"
        }
      }
    },
    "indeterminate": {
      "description": "true: `progress` says nothing.",
      "type": "boolean"
    },
    "eta_seconds": {
      "minimum": 0,
      "description": "Seconds left, estimated.",
      "type": "number"
    },
    "stall_after_seconds": {
      "exclusiveMinimum": 0,
      "description": "Silence for so many seconds is a stall.",
      "type": "number"
    },
    "timeout_seconds": {
      "exclusiveMinimum": 0,
      "description": "Silence for so many seconds is a failure.",
      "type": "number"
    },
    "result": {
      "description": "Any JSON. Only with status \"completed\"."
    },
    "error": {
      "description": "Why the job failed. Only with status \"error\".",
      "type": "object",
      "properties": {
        "code": {
          "type": "string",
          "maxLength": 128,
          "description": "For programs."
        },
        "message": {
          "type": "string",
          "maxLength": 4096,
          "description": "For people."
        },
        "retryable": {
          "description": "true: another attempt may follow, so the job is not finished.",
          "type": "boolean"
        },
        "details": {}
      }
    }
  }
} as const satisfies Schema;

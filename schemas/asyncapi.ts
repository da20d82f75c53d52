import type { TSchema } from '@sinclair/typebox';
import { Event } from './event.js';
import { ProcessingId } from './fields.js';
import { CLIENT_FRAMES, SERVER_FRAMES } from './frames.js';
import { PROTOCOL, SUBJECT_PREFIX } from './ids.js';

// What goes over WebSocket and NATS, in the words of AsyncAPI 3.0, from where an edge stands.

/** The whole document, as JSON. */
export function asyncApi(): Readonly<Record<string, unknown>> {
  const toClient = Object.keys(SERVER_FRAMES);
  const toEdge = Object.keys(CLIENT_FRAMES);
  const frames = Object.fromEntries(
    [...toClient, ...toEdge].map((type) => [type, { $ref: `#/components/messages/${type}` }]),
  );
  const channels = { job: '/ws/upload-progress/{processing_id}', jobs: '/ws/upload-progress' } as const;
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Headway, what goes between workers, edges and clients',
      version: PROTOCOL,
      description: 'The progress of jobs. docs/PROTOCOL.md is the specification.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels: {
      events: {
        address: `${SUBJECT_PREFIX}{processing_id}`,
        title: 'The stream of events in NATS JetStream',
        parameters: { processing_id: { description: ProcessingId.description } },
        messages: { event: { $ref: '#/components/messages/event' } },
      },
      job: {
        address: channels.job,
        title: 'One job over WebSocket',
        parameters: { processing_id: { description: ProcessingId.description } },
        messages: frames,
      },
      jobs: { address: channels.jobs, title: 'All jobs over WebSocket', messages: frames },
    },
    operations: {
      readEvents: operation('receive', 'events', ['event'], 'An edge reads what workers publish.'),
      ...Object.fromEntries(
        Object.keys(channels).flatMap((channel) => [
          [`send_${channel}`, operation('send', channel, toClient, 'Frames to a client.')],
          [`receive_${channel}`, operation('receive', channel, toEdge, 'Frames of a client.')],
        ]),
      ),
    },
    components: {
      messages: {
        event: message(Event),
        ...Object.fromEntries(
          Object.entries({ ...SERVER_FRAMES, ...CLIENT_FRAMES }).map(([type, schema]) => [
            type,
            message(schema),
          ]),
        ),
      },
    },
  };
}

function operation(
  action: 'send' | 'receive',
  channel: string,
  messages: readonly string[],
  summary: string,
) {
  return {
    action,
    channel: { $ref: `#/channels/${channel}` },
    summary,
    messages: messages.map((name) => ({ $ref: `#/channels/${channel}/messages/${name}` })),
  };
}

function message(schema: TSchema) {
  const { $id: _ignored, ...payload } = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  return { summary: schema.description, payload };
}

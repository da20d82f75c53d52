import { expect, test } from 'vitest';
import { OpenedResources } from '../../internal/app/edge.js';

test('what an edge has opened is closed last first, once, and all of it when one of them fails', async () => {
  const opened = new OpenedResources();
  const closed: string[] = [];
  const open = (name: string, failure?: Error) =>
    opened.add(() => {
      closed.push(name);
      if (failure !== undefined) throw failure;
    });
  open('connection');
  open('history', new Error('second'));
  open('feed', new Error('first'));
  open('server');
  await expect(opened.close()).rejects.toThrow('first');
  expect(closed).toEqual(['server', 'feed', 'history', 'connection']);
  await opened.close();
  expect(closed).toHaveLength(4);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntrusiveQueues, NONE } from '../../internal/liveness/intrusive-queues.js';

const RINGS = 3;
const FIRST_NODES = 4;
const NODES = 8;

const ring = fc.nat({ max: RINGS - 1 });
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('push', 'unshift', 'remove'), ring, node: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow'), ring, node: fc.nat() }) },
);

test('whatever joins and leaves, a ring holds what a list would hold, in its order', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (program) => {
      const rings = new IntrusiveQueues(RINGS);
      rings.grow(FIRST_NODES);
      let nodes = FIRST_NODES;
      const lists: number[][] = Array.from({ length: RINGS }, () => []);
      for (const { kind, ring, node: any } of program) {
        const node = any % nodes;
        if (kind === 'grow') {
          nodes = Math.min(NODES, nodes + 1);
          rings.grow(nodes);
          continue;
        }
        for (const list of lists) if (list.includes(node)) list.splice(list.indexOf(node), 1);
        const list = lists[ring] as number[];
        if (kind === 'push') {
          list.push(node);
          rings.enqueue(ring, node);
        } else if (kind === 'unshift') {
          list.unshift(node);
          rings.enqueueFirst(ring, node);
        } else rings.remove(node);
        expect(lists.map((_, index) => rings.first(index))).toEqual(lists.map((one) => one[0] ?? NONE));
      }
      for (const [index, list] of lists.entries()) {
        const held: number[] = [];
        for (let node = rings.first(index); node !== NONE; node = rings.first(index)) {
          held.push(node);
          rings.remove(node);
        }
        expect(held).toEqual(list);
      }
    }),
    { numRuns: 500 },
  );
});

/** The order of the test files: what takes long begins first, so that no worker is alone with it at the end. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Over ten seconds each, the longest first. But the herd, which needs the machine for itself, begins with those that
 * mostly wait. The others come in vitest's own order.
 */
const LONG = [
  'chaos/herd',
  'integration/headway-output',
  'integration/headway-terminal',
  'integration/headway-doctor-cluster',
  'integration/headway-doctor-nats',
  'integration/headway-doctor-edges',
  'chaos/programs',
  'chaos/catch-up',
  'chaos/dead-peer',
  'integration/headway-bench',
  'chaos/worker',
  'integration/silent-jobs',
  'chaos/feed',
  'integration/headway-get-failures',
  'integration/headway-doctor',
  'integration/headway-replay',
  'integration/tls',
  'integration/demo-page',
  'integration/demo',
  'integration/headway-export',
  'chaos/cluster',
  'chaos/arrive',
  'integration/harness',
  'integration/edge-id',
  'chaos/headway-kill',
  'integration/invalid-events',
  'integration/headway-purge',
  'integration/headway-words',
  'integration/feed-audit',
  'security/closing',
  'integration/token-command',
  'integration/feed-loading',
  'integration/headway-doctor-storage',
  'integration/renewal',
  'integration/headway-doctor-feeds',
  'integration/fanout',
  'integration/startup-errors',
  'integration/nats-tls',
  'integration/jwks',
  'integration/headway-history',
  'chaos/silence',
  'integration/headway-reading',
  'integration/hostile-sockets',
  'integration/slow-reader',
  'chaos/left-behind',
];

export class LongestFirstSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at < 0 ? LONG.length : at;
    };
    const group = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => group(a) - group(b) || place(a) - place(b));
  }
}

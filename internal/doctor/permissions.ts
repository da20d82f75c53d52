import type { Facts, NeedFacts, PermissionFacts } from './facts.js';
import { finding, type Outcome, pass, skip } from './findings.js';
import type { Role } from './required-permissions.js';

const A: Readonly<Record<Role, string>> = { edge: 'an edge', worker: 'a worker', operator: 'an operator' };

/** What the credentials may do, of what an edge, a worker and an operator need. */
export function* checkPermissions({ permissions }: Facts): Generator<Outcome> {
  const { needs, meantFor } = permissions;
  if (needs.length === 0) return;
  const roles: readonly Role[] = meantFor === null ? ['edge', 'worker', 'operator'] : [meantFor];
  const concerned = needs.filter(({ need }) => roles.some((role) => need.roles.includes(role)));
  const refused = concerned.filter(({ result }) => result === 'refused');
  if (meantFor === null) {
    if (refused.length > 0) yield limited(permissions, roles);
  } else {
    const missing = refused.filter(({ need }) => !need.isOptional);
    if (missing.length > 0) yield permissionsMissing(meantFor, missing);
    else if (refused.length > 0) yield limited(permissions, roles);
  }
  if (refused.length === 0 && concerned.some(({ result }) => result === 'permitted')) {
    yield pass('permissions', `${who(permissions)}: nothing that was looked for is refused`);
  }
  const unknown = concerned.filter(({ result }) => result === 'unknown');
  if (unknown.length > 0) {
    const list = unknown.map(({ need }) => `${need.operation} ${need.subject}`).join(', ');
    yield skip(
      'permissions',
      `${list}: NATS does not tell these credentials what they may do, and a doctor does not try what could change something`,
    );
  }
}

function who({ user, account }: PermissionFacts): string {
  const named = user === null || user === '' ? 'these credentials' : `user ${user}`;
  return account === null ? named : `${named} of account ${account}`;
}

const line = ({ need }: NeedFacts): string => `${need.operation} ${need.subject}: ${need.purpose}`;

function permissionsMissing(role: Role, missing: readonly NeedFacts[]): Outcome {
  return finding('error', 'permission-missing', {
    what: `NATS refuses these credentials something that ${A[role]} needs.`,
    why: 'What is missing shows late: at the start, or only when that request is needed for the first time.',
    remedy: 'Permit it in the configuration of NATS. docs/nats/permissions.conf is one that works.',
    details: missing.map(line),
  });
}

function limited(permissions: PermissionFacts, roles: readonly Role[]): Outcome {
  const details = roles.map((role) => {
    const lacks = permissions.needs.filter(
      ({ need, result }) => result === 'refused' && need.roles.includes(role),
    );
    if (lacks.length === 0) return `as ${A[role]}: nothing is known to be missing`;
    return `as ${A[role]}: lacks ${lacks.map(({ need }) => `${need.operation} ${need.subject}`).join(', ')}`;
  });
  return finding('info', 'credentials-limited', {
    what: `NATS permits ${who(permissions)} only a part of what Headway does.`,
    why: 'That is as it should be, if the part fits who has these credentials. What could not be looked at is listed below.',
    remedy:
      permissions.meantFor === null
        ? 'To have one role checked strictly: `headway doctor --for edge` (or worker, or operator).'
        : `Nothing, if ${A[permissions.meantFor]} of yours can do without it: all that it cannot do without is permitted. docs/nats/permissions.conf permits the rest.`,
    details,
  });
}

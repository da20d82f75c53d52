import type { ErrorCode } from '../../schemas/close-codes.js';
import { within } from '../async.js';
import { type ExtractedToken, extractToken } from '../auth/bearer-token.js';
import { type Grant, narrow } from '../auth/grant.js';
import type { TokenErrorReason, Verifier, VerifyResult } from '../auth/verifier.js';
import type { Scope } from '../eventlog/record.js';
import type { ConnectionCredentials, Expiry, Narrow, Renewal, RequestedScope } from '../session/ports.js';
import type { TrustedProxies } from './client-address.js';
import { limitKey } from './ip-address.js';
import type { Admission, ConnectionSlot } from './limits.js';
import type { OriginMatch, OriginPolicy } from './origin.js';
import { remembered } from './remembered.js';

/** What a request says of who makes it: the peer's address and headers as they came ('' where there is none). */
export interface Handshake {
  readonly peer: string;
  readonly origin: string;
  readonly host: string;
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  readonly authorization: string;
  readonly subprotocols: string;
  /** The token in the query, if there is one. */
  readonly queryToken: string | null;
}

/** What there can be too much of; a label of metrics. production.md, "Limits". */
export type Limit =
  | 'connections'
  | 'connections_per_address'
  | 'connections_per_subject'
  | 'unauthenticated'
  | 'unauthenticated_per_address'
  | 'upgrades'
  | 'upgrades_per_address'
  | 'pending_reads'
  | 'pending_reads_per_subject'
  | 'client_frames'
  | 'client_bytes'
  | 'http_sockets'
  | 'http_sockets_per_address'
  | 'open_files';

/** What each limit is set by, so that whoever reads of it need not look for it. */
export const LIMIT_SETTINGS: Readonly<Record<Limit, string>> = {
  connections: 'HEADWAY_MAX_CONNECTIONS',
  connections_per_address: 'HEADWAY_MAX_CONNECTIONS_PER_ADDRESS',
  connections_per_subject: 'HEADWAY_MAX_CONNECTIONS_PER_SUBJECT',
  unauthenticated: 'HEADWAY_MAX_UNAUTHENTICATED',
  unauthenticated_per_address: 'HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS',
  upgrades: 'HEADWAY_MAX_UPGRADES_PER_SECOND',
  upgrades_per_address: 'HEADWAY_MAX_UPGRADES_PER_ADDRESS',
  pending_reads: 'HEADWAY_MAX_PENDING_READS',
  pending_reads_per_subject: 'HEADWAY_MAX_PENDING_READS_PER_SUBJECT',
  client_frames: 'HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND',
  client_bytes: 'HEADWAY_MAX_CLIENT_BYTES_PER_SECOND',
  http_sockets: 'HEADWAY_MAX_HTTP_SOCKETS',
  http_sockets_per_address: 'HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS',
  open_files: 'ulimit -n',
};

/** Somebody who was let in so far as the upgrade; `guard.release` when the connection is gone. */
export interface PendingConnection {
  readonly address: string;
  /** Taken out when the token is checked, so that no token stays in memory. */
  carried: ExtractedToken;
  /** null: the address has too many connections, which is explained and closed. */
  readonly slot: ConnectionSlot | null;
}

/** An upgrade that is refused with an HTTP status. */
export interface UpgradeRejection {
  readonly kind: 'rejected';
  readonly address: string;
  /** Which limit was reached. */
  readonly limit: Limit | null;
  readonly status: 403 | 503;
  readonly code: 'forbidden_origin' | 'overloaded';
  readonly detail: string;
  readonly retryAfterSeconds: number | null;
  /** The origin that is refused. */
  readonly origin: string | null;
}

export type UpgradeDecision =
  | { readonly kind: 'pending'; readonly pending: PendingConnection }
  | UpgradeRejection;

export type AuthResult<S extends RequestedScope = Scope> =
  | {
      readonly ok: true;
      /** What the token opens of it. Of jobs that the client names each is looked at by itself. */
      readonly scope: S;
      readonly narrow: Narrow;
      readonly credentials: ConnectionCredentials | null;
      /** Who asks, and so by whose turn it is served: the token's subject, else the address. */
      readonly requester: string;
    }
  | Unauthorized;

/** Why somebody is not let in. */
export interface Unauthorized {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly message: string;
  readonly defect: TokenErrorReason | null;
  readonly limit: Limit | null;
}

/** What may be wrong with the settings, by who comes. */
export type GuardNotice =
  /** Most connections are from one address: an office, or a proxy that is not listed. */
  | {
      readonly kind: 'crowded_address';
      readonly address: string;
      readonly held: number;
      readonly connections: number;
    }
  /** A trusted proxy does not say whom it brings, so all of them count as one. */
  | { readonly kind: 'silent_proxy'; readonly address: string }
  /** No request of an address can be read. */
  | { readonly kind: 'unread_peer'; readonly address: string };

export interface ConnectionGuardDeps {
  /** null: the edge runs open. */
  readonly verifier: Verifier | null;
  readonly origins: OriginPolicy;
  readonly proxies: TrustedProxies;
  readonly admission: Admission;
  /** Whether the edge can serve one more now. */
  readonly hasCapacity: () => boolean;
  /** Whether it can serve one more of this requester. */
  readonly hasCapacityFor: (requester: string) => boolean;
  /** Whether the edge itself speaks TLS. */
  readonly isSecure: boolean;
  readonly tokenInQuery: boolean;
  readonly tokenWarningMs: number;
  /** How far the clock of whoever makes the tokens may be off. */
  readonly tokenToleranceMs: number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly authTimeoutMs: number;
  /** Called at most once for each kind. */
  readonly notice: (notice: GuardNotice) => void;
}

/**
 * Who may come in: origin and limits before the upgrade, the token after it (a browser is shown a close code, never
 * the status of a refused upgrade). PROTOCOL.md, "Connecting" and "Tokens".
 */
export class ConnectionGuard {
  readonly #deps: ConnectionGuardDeps;
  readonly #noticed = new Set<GuardNotice['kind']>();

  constructor(deps: ConnectionGuardDeps) {
    this.#deps = deps;
  }

  /** Whether the peer is a proxy that brings others. */
  isProxy(peer: string): boolean {
    return this.#deps.proxies.isTrusted(peer);
  }

  /** Whether the origin of a page, if it is one, may connect. */
  isOriginAllowed(handshake: Handshake): boolean {
    return this.#origin(handshake) !== 'refused';
  }

  #origin({ peer, forwardedProto, origin, host }: Handshake): OriginMatch {
    const { origins, proxies, isSecure } = this.#deps;
    return origins.match(origin, host, proxies.isSecure(peer, isSecure, forwardedProto));
  }

  /** Which limit of reads that wait is reached, so that this requester may cause no more of them now; null: none. */
  readLimit(requester: string): 'pending_reads' | 'pending_reads_per_subject' | null {
    if (!this.#deps.hasCapacity()) return 'pending_reads';
    return this.#deps.hasCapacityFor(requester) ? null : 'pending_reads_per_subject';
  }

  /** Decides at once whether a request is upgraded. */
  checkUpgrade(handshake: Handshake): UpgradeDecision {
    const { proxies, admission, verifier, tokenInQuery, hasCapacity, hasCapacityFor } = this.#deps;
    const address = proxies.clientAddress(handshake.peer, handshake.forwardedFor);
    const origin = this.#origin(handshake);
    if (origin === 'refused') return originRefused(address, handshake.origin);
    if (!hasCapacity()) return rejection(address, 'pending_reads', NO_ROOM.pending_reads, 1);
    // Whose tokens are checked may be others than those whose reads wait, though they come from one address.
    if (verifier === null && !hasCapacityFor(requesterOf(null, address))) {
      return rejection(address, 'pending_reads_per_subject', NO_ROOM.pending_reads_per_subject, 1);
    }
    const entered = admission.tryAcquire(address, verifier !== null);
    if (!entered.ok && entered.refusal !== 'address') {
      return rejection(address, entered.refusal, NO_ROOM[entered.refusal], entered.retryAfterSeconds);
    }
    this.#look(address, handshake);
    const carried = extractToken({
      authorization: handshake.authorization,
      subprotocols: handshake.subprotocols,
      // Who is no browser can set a header, and so needs no token in a place that is logged.
      query: tokenInQuery && origin !== 'none' ? handshake.queryToken : null,
    });
    return {
      kind: 'pending',
      pending: { address, carried, slot: entered.ok ? entered.slot : null },
    };
  }

  #look(address: string, { peer, forwardedFor }: Handshake): void {
    const { admission, proxies } = this.#deps;
    if (!this.#noticed.has('silent_proxy') && forwardedFor.trim() === '' && proxies.isTrusted(peer)) {
      this.notice({ kind: 'silent_proxy', address: peer });
    }
    if (this.#noticed.has('crowded_address')) return;
    const held = admission.crowd(address);
    if (held === null) return;
    this.notice({ kind: 'crowded_address', address, held, connections: admission.counts.connections });
  }

  /** Tells the operator, the first time of each kind. */
  notice(notice: GuardNotice): void {
    if (this.#noticed.has(notice.kind)) return;
    this.#noticed.add(notice.kind);
    this.#deps.notice(notice);
  }

  /** Checks the token of a pending connection, and what of a scope it opens; at once where there is nothing to check. Never rejects. */
  authorize<S extends RequestedScope>(
    pending: PendingConnection,
    scope: S,
  ): AuthResult<S> | Promise<AuthResult<S>> {
    const { verifier, admission } = this.#deps;
    const { carried } = pending;
    pending.carried = NOTHING_CARRIED;
    if (pending.slot === null) return tooMany('connections_per_address', TOO_MANY_OF_ADDRESS);
    if (verifier === null) {
      admission.authenticated(pending.slot, null);
      const requester = requesterOf(null, pending.address);
      return { ok: true, scope, narrow: OPEN, credentials: null, requester };
    }
    if (carried.kind === 'none') return refused('unauthorized', NO_TOKEN, 'missing');
    if (carried.kind === 'bad') return refused('unauthorized', carried.message, 'malformed');
    return this.#check(verifier, pending.slot, pending.address, carried.token, scope);
  }

  async #check<S extends RequestedScope>(
    verifier: Verifier,
    slot: ConnectionSlot,
    address: string,
    token: string,
    scope: S,
  ): Promise<AuthResult<S>> {
    const result = await this.#verify(verifier, token);
    if (!result.ok) {
      return result.defect === 'keys_unavailable'
        ? refused('internal', KEYS_AWAY, result.defect)
        : refused(codeOf(result.defect), result.message, result.defect);
    }
    const { grant } = result;
    const narrowed = scope.kind === 'selected' ? { ok: true as const, scope } : narrow(grant, scope);
    if (!narrowed.ok) return refused('forbidden', narrowed.message);
    const requester = requesterOf(grant.subject, address);
    if (!this.#deps.hasCapacityFor(requester)) {
      const message = NO_ROOM.pending_reads_per_subject;
      return { ok: false, code: 'overloaded', message, defect: null, limit: 'pending_reads_per_subject' };
    }
    if (!this.#deps.admission.authenticated(slot, grant.subject)) {
      return tooMany('connections_per_subject', TOO_MANY_OF_SUBJECT);
    }
    return {
      ok: true,
      scope: narrowed.scope as S,
      narrow: (one) => narrow(grant, one),
      credentials: this.#credentials(verifier, grant),
      requester,
    };
  }

  /** When what let somebody in expired, as RFC 3339 writes it; null: it has not. */
  expiredAt(credentials: ConnectionCredentials | null): string | null {
    return credentials !== null && this.#deps.wallClock() >= credentials.expiry.at
      ? credentials.expiry.text
      : null;
  }

  release(pending: PendingConnection): void {
    if (pending.slot !== null) this.#deps.admission.release(pending.slot);
  }

  #credentials(verifier: Verifier, { subject, expiresAt }: Grant): ConnectionCredentials {
    return {
      expiry: this.#expiry(expiresAt),
      warnMs: this.#deps.tokenWarningMs,
      renew: async (token): Promise<Renewal> => {
        const result = await this.#verify(verifier, token);
        if (!result.ok) {
          return result.defect === 'keys_unavailable'
            ? { kind: 'unknown' }
            : { kind: 'refused', code: 'unauthorized', message: result.message };
        }
        const { grant } = result;
        if (grant.subject !== subject) return { kind: 'refused', code: 'forbidden', message: OTHER_SUBJECT };
        return {
          kind: 'renewed',
          expiry: this.#expiry(grant.expiresAt),
          narrow: (scope) => narrow(grant, scope),
        };
      },
    };
  }

  // A token that is good only by the tolerance may stay for as long as that lasts.
  #expiry(expiresAt: number): Expiry {
    const { wallClock, tokenToleranceMs } = this.#deps;
    const at = expiresAt > wallClock() ? expiresAt : expiresAt + tokenToleranceMs;
    return { at, text: new Date(expiresAt).toISOString() };
  }

  async #verify(verifier: Verifier, token: string): Promise<VerifyResult> {
    return within(
      verifier.verify(token),
      this.#deps.authTimeoutMs,
      (): VerifyResult => ({ ok: false, defect: 'keys_unavailable', message: KEYS_AWAY }),
    );
  }
}

const NOTHING_CARRIED: ExtractedToken = { kind: 'none' };

/** Without tokens everything is open. */
const OPEN: Narrow = (scope) => ({ ok: true, scope });

const ORIGIN_REFUSED = 'pages of this origin may not connect; HEADWAY_ALLOWED_ORIGINS lists those that may';
const NO_TOKEN =
  'there is no token; send it as "Authorization: Bearer <token>" or as the second subprotocol "bearer.<token>"';
const KEYS_AWAY = 'the token cannot be checked now; connect again in a moment';
// Most often it is a proxy of which the edge does not know.
const OR_A_PROXY = 'if this is the address of a proxy, list it in HEADWAY_TRUSTED_PROXIES';
const TOO_MANY_OF_ADDRESS = `there are too many connections from this address; ${OR_A_PROXY}`;
const TOO_MANY_OF_SUBJECT = "there are too many connections with tokens of this token's subject";
const OTHER_SUBJECT = 'the new token is of another subject than the one that this connection began with';
const NO_ROOM = {
  pending_reads: 'this edge has no room now; connect again in a moment',
  pending_reads_per_subject:
    'too many reads of history of this subject or address wait; connect again in a moment',
  connections: 'this edge has as many connections as it takes; connect again in a moment',
  unauthenticated: 'too many tokens are being checked now; connect again in a moment',
  unauthenticated_per_address: `too many tokens from this address are being checked now; connect again in a moment; ${OR_A_PROXY}`,
  upgrades: 'too many clients connect at once; connect again in a moment',
  upgrades_per_address: `too many clients connect at once from this address; connect again in a moment; ${OR_A_PROXY}`,
} as const;

// Nobody can choose a subject that is taken for an address, or the other way round.
function requesterOf(subject: string | null, address: string): string {
  return subject === null ? ofAddress(address) : `subject ${subject}`;
}

// One text for all of them: each holds it for as long as it stands.
const ofAddress = remembered((address) => `address ${limitKey(address)}`);

function rejection(
  address: string,
  limit: Limit,
  detail: string,
  retryAfterSeconds: number | null,
): UpgradeRejection {
  return {
    kind: 'rejected',
    address,
    limit,
    status: 503,
    code: 'overloaded',
    detail,
    retryAfterSeconds,
    origin: null,
  };
}

function originRefused(address: string, origin: string): UpgradeRejection {
  return {
    kind: 'rejected',
    address,
    limit: null,
    status: 403,
    code: 'forbidden_origin',
    detail: ORIGIN_REFUSED,
    retryAfterSeconds: null,
    origin,
  };
}

function refused(code: ErrorCode, message: string, defect: TokenErrorReason | null = null): Unauthorized {
  return { ok: false, code, message, defect, limit: null };
}

function tooMany(limit: Limit, message: string): Unauthorized {
  return { ok: false, code: 'too_many_connections', message, defect: null, limit };
}

function codeOf(defect: TokenErrorReason): ErrorCode {
  return defect === 'expired' ? 'token_expired' : 'unauthorized';
}

/** @jsxImportSource preact */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ConnectionState } from '../../sdk/client/index.js';
import type { Reconnection } from '../model/connection-log.js';
import { formatCount, formatDuration, formatTime, shortText } from '../model/format.js';
import type { Session } from '../store/session.js';
import { SignIn } from './sign-in.js';

export type Liveness = 'live' | 'catching_up' | 'connecting' | 'waiting' | 'signed_out' | 'idle' | 'closed';

export function livenessOf(session: Session): Liveness {
  const { log, isCurrent, error, client } = session;
  if (session.needsToken) return 'signed_out';
  // There is no list, so the connection is that of the job that is looked at.
  if (session.isListRefused) return SINGLE[client.connection];
  if (error !== null) return 'closed';
  switch (log.state) {
    case 'open':
      return isCurrent ? 'live' : 'catching_up';
    case 'waiting':
      return 'waiting';
    case 'closed':
      return 'closed';
    case 'idle':
    case 'connecting':
      return log.lostMs === null ? 'connecting' : 'waiting';
  }
}

const SINGLE: Readonly<Record<ConnectionState, Liveness>> = {
  open: 'live',
  connecting: 'connecting',
  waiting: 'waiting',
  idle: 'idle',
  closed: 'closed',
};

const NAMES: Readonly<Record<Liveness, string>> = {
  live: 'Live',
  catching_up: 'Catching up',
  connecting: 'Connecting',
  waiting: 'Reconnecting',
  signed_out: 'Signed out',
  idle: 'Signed in',
  closed: 'Not connected',
};

/** What the last reconnection brought, in a sentence. */
export function reconnectionText(last: Reconnection | null): string {
  if (last === null) return 'The connection has held since this page was opened';
  const away = `Away for ${formatDuration(last.awayMs)}`;
  const events = `${formatCount(last.missed)} ${last.missed === 1 ? 'event' : 'events'}`;
  if (last.leftOut !== null)
    return `${away}. The edge could not send everything (${last.leftOut}): the newest states are shown, and events between are only in each job's history`;
  if (!last.isOver) return `${away}. ${events} so far`;
  return last.missed === 0
    ? `${away}. Nothing had happened`
    : `${away}. ${events} were missed, and have come since`;
}

export interface ConnectionPanelProps {
  readonly session: Session;
  readonly nowMs: number;
}

/** The state of the connection, always in sight; a click shows what there is to know of it. */
export function ConnectionPanel({ session, nowMs }: ConnectionPanelProps) {
  const [isOpen, setOpen] = useState(false);
  const [isSigningIn, setSigningIn] = useState(false);
  const panel = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const liveness = livenessOf(session);
  const { claims, log } = session;
  const expiresIn = claims?.expiresMs == null ? null : claims.expiresMs - nowMs;
  const isExpiring = expiresIn !== null && expiresIn < 120_000;

  // At once: a key that is pressed as soon as it is seen would lead away from the job behind it.
  useLayoutEffect(() => {
    if (!isOpen) return;
    const close = (event: Event): void => {
      if (event instanceof KeyboardEvent) {
        if (event.key !== 'Escape') return;
        // It closes this, and does not lead away from the job behind it too.
        event.preventDefault();
        button.current?.focus();
      } else if (panel.current?.contains(event.target as Node)) return;
      setOpen(false);
    };
    // Before anybody else hears of the key.
    document.addEventListener('keydown', close, true);
    document.addEventListener('pointerdown', close);
    return () => {
      document.removeEventListener('keydown', close, true);
      document.removeEventListener('pointerdown', close);
    };
  }, [isOpen]);

  return (
    <div class="connection" ref={panel}>
      <button
        ref={button}
        type="button"
        class={`pill pill-${liveness}`}
        aria-expanded={isOpen}
        aria-controls="connection-panel"
        onClick={() => setOpen(!isOpen)}
      >
        <span class="dot" aria-hidden="true" />
        <span role="status">{NAMES[liveness]}</span>
        <span class="pill-edge">{session.edge.host}</span>
        {isExpiring && (
          <span class="pill-warning">
            {expiresIn > 0 ? `token: ${formatDuration(expiresIn)}` : 'token expired'}
          </span>
        )}
      </button>
      {isOpen && (
        <section id="connection-panel" class="panel" aria-label="Connection">
          <dl>
            <dt>State</dt>
            <dd>
              {NAMES[liveness]}, for {formatDuration(nowMs - log.sinceMs)}
              {session.error !== null && <span class="error-text"> {session.error.message}</span>}
            </dd>
            <dt>Edge</dt>
            <dd class="mono">{session.edge.href}</dd>
            <dt>Cursor</dt>
            <dd class="mono">{session.cursor ?? 'none yet'}</dd>
            <dt>Up to date</dt>
            <dd>
              {session.isCurrent
                ? 'now'
                : log.currentMs === null
                  ? 'not yet'
                  : `last at ${formatTime(log.currentMs).slice(0, 8)}`}
            </dd>
            <dt>Reconnections</dt>
            <dd>{formatCount(log.reconnections)}</dd>
            <dt>Last one</dt>
            <dd>{reconnectionText(log.last)}</dd>
            <dt>Token</dt>
            <dd>
              {claims === null
                ? `none${session.needsToken ? '' : ': this edge asks for none'}`
                : `${claims.subject === null ? '' : `of ${shortText(claims.subject, 60)}, `}${
                    expiresIn === null
                      ? 'does not say when it expires'
                      : expiresIn > 0
                        ? `expires in ${formatDuration(expiresIn)}`
                        : `expired ${formatDuration(-expiresIn)} ago`
                  }`}
            </dd>
          </dl>
          {claims !== null && !isSigningIn && (
            <p class="panel-actions">
              <button type="button" class="chip" onClick={() => setSigningIn(true)}>
                New token
              </button>
              <button type="button" class="chip" onClick={() => session.signOut()}>
                Sign out
              </button>
            </p>
          )}
          {isSigningIn && (
            <SignIn
              session={session}
              onDone={() => {
                setSigningIn(false);
                button.current?.focus();
              }}
            />
          )}
        </section>
      )}
    </div>
  );
}

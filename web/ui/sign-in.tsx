/** @jsxImportSource preact */
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatDate } from '../model/format.js';
import { cleanToken, readClaims } from '../model/token.js';
import type { Session } from '../store/session.js';

export interface SignInProps {
  readonly session: Session;
  readonly onDone?: () => void;
}

/** Takes a token. It stays in this tab. */
export function SignIn({ session, onDone }: SignInProps) {
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    const token = cleanToken(input.current?.value ?? '');
    if (token === null) {
      setProblem('This is no token. Expected three parts with dots between them, such as eyJ….eyJ….abc');
      input.current?.focus();
      return;
    }
    const { expiresMs } = readClaims(token);
    if (expiresMs !== null && expiresMs < Date.now()) {
      setProblem(`This token expired at ${new Date(expiresMs).toLocaleString()}. Get a new one`);
      input.current?.focus();
      return;
    }
    setProblem(null);
    session.signIn(token);
    onDone?.();
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      <label for="token">Token</label>
      <input
        ref={input}
        id="token"
        type="password"
        autocomplete="off"
        spellcheck={false}
        aria-invalid={problem !== null}
        aria-describedby="token-help token-problem"
      />
      <button type="submit" class="primary">
        Sign in
      </button>
      <p id="token-help" class="quiet">
        A JSON Web Token that opens all jobs, a type of them, or one job. It is kept for this tab only.
      </p>
      <p id="token-problem" class="error-text" role="alert">
        {problem}
      </p>
    </form>
  );
}

/** What is seen instead of jobs where there is no token, or where it is not good any more. */
export function SignInPage({ session }: Pick<SignInProps, 'session'>) {
  const { claims, error } = session;
  const expiresMs = claims?.expiresMs ?? Number.POSITIVE_INFINITY;
  const reason =
    claims === null
      ? 'This edge shows jobs to those who have a token.'
      : expiresMs <= Date.now()
        ? `Your token expired at ${formatDate(expiresMs)}. With a new one you go on where you were.`
        : 'The edge does not take this token. What it says:';
  return (
    <main class="card-page">
      <section class="card" aria-labelledby="sign-in-title">
        <h1 id="sign-in-title">Sign in</h1>
        <p>{reason}</p>
        {claims !== null && expiresMs > Date.now() && <p class="error-text">{error?.message}</p>}
        <SignIn session={session} />
      </section>
    </main>
  );
}

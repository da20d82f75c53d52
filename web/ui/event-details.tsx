/** @jsxImportSource preact */
import type { ComponentChildren } from 'preact';
import type { ProgressUpdate } from '../../sdk/client/index.js';
import { formatDate, formatDuration, visibleText } from '../model/format.js';
import { timeOf } from '../model/job-row.js';
import { CopyButton } from './copy-button.js';

function Block({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <section class="block" aria-label={title}>
      <div class="block-head">
        <h2>{title}</h2>
        <CopyButton text={() => text}>Copy</CopyButton>
      </div>
      <pre tabIndex={0} role="group" aria-label={`${title} as text`}>
        {visibleText(text, { lines: true })}
      </pre>
    </section>
  );
}

const json = (value: unknown): string => JSON.stringify(value, null, 2);

/** One event in full: what came of the job first, then what is in it. */
export function EventDetails({ event }: { readonly event: ProgressUpdate }) {
  const { error, result, message, step } = event;
  const stepText = [
    step?.name,
    step?.index !== undefined && step.total !== undefined ? `${step.index} of ${step.total}` : undefined,
  ]
    .filter(Boolean)
    .join(', ');
  return (
    <section class="details" aria-label={`Event ${event.seq}`}>
      {error !== undefined && (
        <div class="error-box">
          <strong class="long">{visibleText(error.code ?? 'Error')}</strong>
          {error.retryable === true && ' (may be tried again)'}
          {error.message !== undefined && (
            <p class="long" dir="auto">
              {visibleText(error.message, { lines: true })}
            </p>
          )}
        </div>
      )}
      {error !== undefined && <Block title="Error" text={json(error)} />}
      {result !== undefined && (
        <Block title="Result" text={typeof result === 'string' ? result : json(result)} />
      )}
      <dl class="facts">
        <Fact name="Message">
          {message !== undefined && (
            <span class="long" dir="auto">
              {visibleText(message, { lines: true })}
            </span>
          )}
        </Fact>
        <Fact name="Step">{stepText !== '' && <span class="long">{visibleText(stepText)}</span>}</Fact>
        <Fact name="Made at">{formatDate(timeOf(event))}</Fact>
        <Fact name="Promised">
          {[
            event.stall_after_seconds !== undefined &&
              `stalled after ${formatDuration(event.stall_after_seconds * 1_000)} of silence`,
            event.timeout_seconds !== undefined &&
              `failed after ${formatDuration(event.timeout_seconds * 1_000)}`,
          ]
            .filter(Boolean)
            .join(', ')}
        </Fact>
        <Fact name="Sequence">
          {event.seq}, after {event.prev_seq ?? 'one that is not known'}
        </Fact>
      </dl>
      <Block title="Event" text={json(event)} />
    </section>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  if (children === false || children === '' || children === undefined) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

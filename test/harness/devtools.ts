/**
 * Tabs by the DevTools protocol alone. Playwright keeps each page visible and focused, so that none is ever hidden or frozen;
 * here a tab that another one covers is hidden, as it is for a person.
 */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { waitFor } from './wait.js';

interface Answer {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
  method?: string;
  params?: Record<string, unknown>;
  sessionId?: string;
}

export class DevTools implements AsyncDisposable {
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #tabs = new Map<string, Tab>();
  #count = 0;

  private constructor(private readonly socket: WebSocket) {
    socket.on('message', (text) => {
      const answer = JSON.parse(String(text)) as Answer;
      if (answer.id === undefined) this.#tabs.get(answer.sessionId ?? '')?.heard(answer);
      else this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id ?? 0);
    });
  }

  static async connect(port: number): Promise<DevTools> {
    const answer = await fetch(`http://127.0.0.1:${port}/json/version`);
    const { webSocketDebuggerUrl } = (await answer.json()) as { webSocketDebuggerUrl: string };
    const socket = new WebSocket(webSocketDebuggerUrl, { perMessageDeflate: false });
    await once(socket, 'open');
    return new DevTools(socket);
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    this.#count += 1;
    const id = this.#count;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }

  /** A window with cookies and storage of its own. @returns its name */
  async newWindow(): Promise<string> {
    return String((await this.send('Target.createBrowserContext')).browserContextId);
  }

  async closeWindow(window: string): Promise<void> {
    await this.send('Target.disposeBrowserContext', { browserContextId: window });
  }

  /** Opens a tab in front of the others of its window. */
  async newTab(window: string, url: string): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url, browserContextId: window });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, String(targetId), String(sessionId));
    this.#tabs.set(String(sessionId), tab);
    for (const domain of ['Page', 'Runtime', 'Network']) await tab.send(`${domain}.enable`);
    return tab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate();
  }
}

export class Tab {
  /** What was thrown and caught by nobody, and what code wrote to the console as an error or a warning. */
  readonly errors: string[] = [];

  constructor(
    private readonly tools: DevTools,
    private readonly target: string,
    private readonly session: string,
  ) {}

  async send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return await this.tools.send(method, params, this.session);
  }

  /** The value of an expression, awaited, as JSON. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })) as { result: { value?: unknown }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'the page threw');
    return result.value;
  }

  /** Waits until an expression is true. While a page is exchanged for another one there is nobody to ask. */
  async until(expression: string, timeoutMs = 20_000): Promise<void> {
    await waitFor(() => this.evaluate(expression), { what: expression, timeoutMs });
  }

  async toFront(): Promise<void> {
    await this.tools.send('Target.activateTarget', { targetId: this.target });
  }

  async setOffline(offline: boolean): Promise<void> {
    const conditions = { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await this.send('Network.emulateNetworkConditions', conditions);
  }

  async setLifecycle(state: 'frozen' | 'active'): Promise<void> {
    await this.send('Page.setWebLifecycleState', { state });
  }

  /** Bytes of the heap that are in use, behind a collection of garbage. */
  async heapBytes(): Promise<number> {
    await this.send('HeapProfiler.collectGarbage');
    return Number((await this.send('Runtime.getHeapUsage')).usedSize);
  }

  async close(): Promise<void> {
    await this.tools.send('Target.closeTarget', { targetId: this.target });
  }

  heard({ method, params = {} }: Answer): void {
    if (method === 'Runtime.exceptionThrown') {
      const { exceptionDetails } = params as {
        exceptionDetails: { text: string; exception?: { description?: string } };
      };
      this.errors.push(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    if (method === 'Runtime.consoleAPICalled') {
      const { type, args } = params as { type: string; args: { value?: unknown; description?: string }[] };
      if (['error', 'warning'].includes(type))
        this.errors.push(args.map(({ value, description }) => String(value ?? description)).join(' '));
    }
  }
}

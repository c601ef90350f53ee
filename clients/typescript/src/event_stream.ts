/**
 * One stream of server-sent events with the messages that are posted beside it: a socket without a WebSocket.
 *
 * To its owner it is what `transport.ts` asks for. Which of the two a connection uses is said in `fallback.ts`. It is
 * `fetch` that reads, and no `EventSource`: that can send no header, and tokens are in no address.
 */

import { EventLines } from "./event_lines.js";
import type { Connected } from "./protocol.js";
import type { Receiver, Socket } from "./transport.js";

/** Of messages that are posted together, where the server does not say that it takes less; a longer one goes alone. */
const MAX_BATCH_CHARS = 16_384;
/** Most bytes in UTF-8 of what counts as one character here. */
const CHAR_BYTES = 3;
/** What a request is refused with that would be refused again, and the close code of a WebSocket for it. */
const FINAL: Record<string, number> = { invalid_message: 4001, unknown_message: 4001, message_too_big: 1009 };
/** What statuses mean, whoever says them: a stream that is answered so is not to be had, with these close codes. */
const DENIED: Record<number, [code: string, close: number]> = {
  401: ["unauthorized", 4000],
  403: ["forbidden", 4000],
  413: ["message_too_big", 1009],
};
/**
 * Statuses of something on the way that would refuse the same again: those that blame the client, but for such as may pass.
 * 404 may, as while what stands behind a proxy is replaced.
 */
const BLAMED = /^4(?!0[48]|2[159])/;
const SIGN_OF_LIFE = '["received",[]]';

/** Where the events come from. */
export interface Source {
  baseUrl: string;
  fetch: typeof fetch;
  /** Longest wait for the answer to what is posted. */
  httpTimeoutMs: number;
}

/** A stream from its request to its end. The first message that is sent is the connect message. */
export class EventStreamSocket implements Socket {
  readonly #source: Source;
  readonly #receiver: Receiver;
  readonly #requests = new AbortController();
  /** Of what is being posted. */
  #post = this.#requests;
  /** Nothing more is sent. */
  #closing = false;
  #lost = false;
  /** Whether the connect message was sent. */
  #begun = false;
  /** Name the session and the stream in what is posted; null before the server has. */
  #names: Record<string, string> | null = null;
  #unposted: string[] = [];
  #maxBatchChars = MAX_BATCH_CHARS;
  /** How many of those that are next go one by one: together they were refused. */
  #alone = 0;
  #posting: Promise<void> | null = null;
  /** How often the server wants to hear something. */
  #signMs = Infinity;
  #sentAt = 0;

  constructor(source: Source, receiver: Receiver) {
    this.#source = source;
    this.#receiver = receiver;
    // Once the owner has this socket.
    queueMicrotask(() => this.#lost || receiver.onOpen());
  }

  // As `transport.ts` says.

  send(payload: string): void {
    if (this.#closing) return;
    this.#sentAt = performance.now();
    if (this.#begun) {
      this.#unposted.push(payload);
      // One request at a time: two could overtake each other.
      this.#posting ??= this.#postAll();
    } else {
      this.#begun = true;
      void this.#read(payload);
    }
  }

  close(code?: number): void {
    if (code === 1000 && this.#names && !this.#closing) void this.#endSession(this.#names);
    else this.abort();
  }

  abort(): void {
    this.#lose(null, "");
  }

  // The stream.

  async #read(connect: string): Promise<void> {
    const { actor, ...body } = JSON.parse(connect)[1];
    try {
      const path = `actors/${encodeURIComponent(actor)}/events`;
      const response = await this.#request("POST", path, JSON.stringify(body), {
        Accept: "text/event-stream",
      });
      if (
        response.status === 200 &&
        /^text\/event-stream\b/i.test(response.headers.get("Content-Type") ?? "")
      ) {
        await this.#readEvents(response);
      } else {
        await this.#onRefused(response);
      }
    } catch (error) {
      this.#lose(null, `${error}`);
    }
  }

  async #readEvents({ body, headers }: Response): Promise<void> {
    const lines = new EventLines();
    const decoder = new TextDecoder();
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#lost) break;
      for (const [kind, data] of lines.feed(decoder.decode(value, { stream: true }))) {
        if (kind === "close") {
          const [code, reason] = JSON.parse(data);
          this.#lose(code, reason);
          return;
        } else if (kind === "message") {
          this.#names ??= this.#namesOf(data, headers.get("Ringcast-Stream"));
          this.#receiver.onMessage(data);
        }
      }
      // Whatever comes is the time to look: a server that says nothing is asked, which tells it as much.
      if (!this.#posting && performance.now() - this.#sentAt > this.#signMs / 2) this.send(SIGN_OF_LIFE);
    }
    this.#lose(null, "the stream has ended");
  }

  /** Return the headers that name the session of a `connected` message; null for another message. */
  #namesOf(message: string, stream: string | null): Record<string, string> | null {
    let kind: unknown;
    let answer: Partial<Connected> | undefined;
    try {
      [kind, answer] = JSON.parse(message);
    } catch {
      // As the receiver will find, too.
    }
    if (kind !== "connected") return null;
    if (answer?.heartbeat_s) this.#signMs = answer.heartbeat_s * 1000;
    if (answer?.max_message_bytes)
      this.#maxBatchChars = Math.min(MAX_BATCH_CHARS, answer.max_message_bytes / CHAR_BYTES);
    return { "Ringcast-Session": `${answer?.session}`, ...(stream ? { "Ringcast-Stream": stream } : {}) };
  }

  /**
   * Heed what the server, or a proxy, has against the stream, or against messages. Only those fail that would be refused
   * again; anything else ends the socket.
   */
  async #onRefused(response: Response, batch?: string[]): Promise<void> {
    const { status, headers } = response;
    let error: { code?: unknown; message?: unknown } | undefined;
    // What has it not is somebody else's, whatever it looks like.
    if (headers.has("Ringcast-Error")) {
      try {
        error = (await response.json()).error;
      } catch {
        // It cannot be read: what there is to know is in the status.
      }
    } else {
      // Not read, it would keep its socket.
      response.body?.cancel().catch(() => {});
    }
    if (typeof error?.code !== "string" || !error.code) error = undefined;
    const [denied = "internal_error", close] = DENIED[status] ?? [];
    const message = `the server, or a proxy, answered with status ${status}`;
    const foreign = { code: denied, message, fromServer: false };
    if (batch && (status === 413 || (!error && BLAMED.test(`${status}`)))) {
      this.#refuse(batch, error ?? foreign);
      return;
    }
    // The code stands beside an error of the server's: where there is none, or it cannot be read, the status alone counts.
    let code = (error && (Number(headers.get("Ringcast-Close")) || FINAL[`${error.code}`])) || null;
    if (!batch && close) {
      // As for an upgrade: the server, or a proxy, does not want this client.
      code ??= close;
      error ??= foreign;
    }
    if (error) this.#receiver.onMessage(JSON.stringify(["error", null, error]));
    this.#lose(code, `${error?.message ?? message}`);
  }

  /** Tell that a message was refused; of several nobody knows which one is meant. None has arrived. */
  #refuse(batch: string[], error: object): void {
    if (batch.length > 1) {
      this.#unposted.unshift(...batch);
      this.#alone = batch.length;
      return;
    }
    const [kind, id] = JSON.parse(`${batch}`);
    // That answers have arrived is said again when the session is taken up.
    if (kind !== "received") this.#receiver.onMessage(JSON.stringify(["error", id, error]), 0);
  }

  /** Report the end, once, and stop everything. */
  #lose(code: number | null, reason: string): void {
    if (this.#lost) return;
    this.#closing = this.#lost = true;
    this.#requests.abort();
    this.#post.abort();
    this.#receiver.onLost(code, reason);
  }

  // What is posted.

  async #postAll(): Promise<void> {
    // What is sent in one turn goes together.
    await null;
    while (this.#unposted.length && !this.#lost) {
      const timeoutMs = this.#source.httpTimeoutMs;
      this.#post = new AbortController();
      let response: Response | undefined;
      const timer = setTimeout(() => {
        // Where only the body of a refusal does not end, its status says what to do.
        if (response) this.#post.abort();
        else this.#lose(null, `no answer in ${timeoutMs} ms`);
      }, timeoutMs);
      try {
        const batch = this.#nextBatch();
        const body = batch.length > 1 ? `[${batch}]` : `${batch}`;
        response = await this.#request("POST", "session/messages", body, {}, this.#post.signal);
        if (response.status !== 204) await this.#onRefused(response, batch);
      } catch (error) {
        // Nobody knows whether it has arrived. The session is taken up again, and what has no answer sent again: it
        // runs once.
        this.#lose(null, `${error}`);
      }
      clearTimeout(timer);
    }
    this.#posting = null;
  }

  #nextBatch(): string[] {
    if (this.#alone) {
      this.#alone -= 1;
      return this.#unposted.splice(0, 1);
    }
    // As an array: with what stands around and between them.
    let chars = 1;
    const end = this.#unposted.findIndex((message) => (chars += message.length + 1) > this.#maxBatchChars);
    return this.#unposted.splice(0, end < 0 ? this.#unposted.length : Math.max(end, 1));
  }

  async #endSession(names: Record<string, string>): Promise<void> {
    this.#closing = true;
    try {
      // Not a turn later where nothing is under way: a page that goes has no other.
      if (this.#posting) await this.#posting;
      const response = await this.#request("DELETE", "session", undefined, names);
      if (!response.ok) this.abort();
    } catch {
      // The session ends when its window has passed.
      this.abort();
    }
  }

  #request(
    method: string,
    path: string,
    body?: string,
    headers?: Record<string, string>,
    signal = this.#requests.signal,
  ): Promise<Response> {
    const { baseUrl, fetch } = this.#source;
    return fetch(`${baseUrl}/${path}`, {
      method,
      body,
      headers: { ...(body && { "Content-Type": "application/json" }), ...this.#names, ...headers },
      // It may be the last thing that a page does.
      keepalive: !body,
      signal,
    });
  }
}

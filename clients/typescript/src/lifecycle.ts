/**
 * The life of a connection: attempts to connect, what the server says, a lost network, the end.
 *
 * It ties the pure parts (`listeners`, `dispatch`, `session`, `subscriptions`, `backoff`) to a socket, through
 * `link`, and to timers. `connection.ts` is its public face.
 */

import { Backoff } from "./backoff.js";
import type { Payload } from "./codec.js";
import type { Config } from "./config.js";
import { Dispatch } from "./dispatch.js";
import { type Endpoint, paramsOf } from "./endpoint.js";
import { fromWire, mayComeBack, RingcastError } from "./errors.js";
import { Link, type LinkOwner, type Loss } from "./link.js";
import { FOR_STREAMS, isActorEvent, Listeners } from "./listeners.js";
import { onPage } from "./page.js";
import type { Address, Connected, Gap, Heartbeat, ServerMessage } from "./protocol.js";
import type { Request } from "./requests.js";
import { Session } from "./session.js";
import { Subscriptions } from "./subscriptions.js";
import { topicOf, toWire } from "./topics.js";

/** Where a connection stands. */
export type Status = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** What a connection is made from. */
export interface ConnectionOptions {
  endpoint: Endpoint;
  config: Config;
  /** Names the actor to connect to, after creating it with these parameters if that is still to be done. */
  address(params: unknown): Promise<Address>;
  /** A value, or a function that gives one for each connect and reconnect. */
  params: unknown;
  /** Called once, when the connection has ended for good. */
  onClosed(): void;
}

/** Keeps one connection alive until it is closed or refused for good. */
export class Lifecycle implements LinkOwner {
  status: Status = "idle";
  /** Why the latest attempt or socket failed; null while connected. */
  lastError: any = null;
  /** Why the other side ended the connection for good. */
  endError: RingcastError | null = null;
  declare readonly config: Config;
  declare readonly session: Session;
  declare readonly listeners: Listeners;
  declare readonly dispatch: Dispatch;
  readonly statusListeners = new Set<(status: Status) => void>();
  #toldStatus: Status = "idle";
  readonly #options: ConnectionOptions;
  readonly #subscriptions = new Subscriptions();
  readonly #backoff: Backoff;
  /** The present socket, also before it is open and answered; null between sockets. */
  #link: Link | null = null;
  #connect: Address | undefined;
  /** The topics in the latest connect message. */
  #carried: string[] = [];
  #connectedAt = 0;
  #readyWaiters: [resolve: () => void, reject: (error: unknown) => void][] = [];
  /** Ends the present wait: for the loss of a socket, or for the next attempt. */
  #goOn: () => void = () => {};
  #closing: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.config = options.config;
    this.session = new Session(this.config);
    this.listeners = new Listeners((...change) => this.#ask(...change));
    this.dispatch = new Dispatch(this.listeners, this.#subscriptions);
    this.#backoff = new Backoff(this.config);
    void this.#run();
  }

  // What `connection.ts` uses.

  /** Send a call, or keep it until there is a network and room for it. Throws what encoding throws. */
  submit(request: Request): void {
    if (this.#isClosed()) throw this.#closedError();
    // Not inside the call below: where there is no link, arguments are not even looked at.
    const payloads = this.session.requests.submit(request, this.status !== "connected");
    this.#link?.send(...payloads);
  }

  /** Wait until connected; rejects once that cannot happen any more. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.status === "connected") resolve();
      else if (this.#isClosed()) reject(this.endError ?? this.#closedError());
      else this.#readyWaiters.push([resolve, reject]);
    });
  }

  /** End the connection and its session; wait for the server. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  // What the link calls.

  connectMessage(): Payload {
    const { anew } = this.#subscriptions;
    this.#carried = this.listeners.topics().filter((topic) => !anew.has(topic));
    const payload = this.#connectWith(this.#carried, this.#subscriptions.unconfirmed(this.#carried));
    if (!this.session.requests.isTooBig(payload)) return payload;
    // Those that the session may have, as events may have been missed; the others are asked for when it is answered.
    this.#carried = this.#subscriptions.taken();
    return this.#connectWith(this.#carried);
  }

  onMessage(message: ServerMessage, chars: number): void {
    const { position, answer } = this.session;
    switch (message[0]) {
      case "event":
        if (message[1] === answer?.stream) this.#onEvent(message[2], message[3], message[4]);
        break;
      case "reply":
        this.#onAnswer(message[1], null, message[2], chars);
        break;
      case "error":
        this.#onAnswer(message[1] as number, fromWire(message[2]), null, chars);
        break;
      case "connected":
        if (this.status !== "connected") this.#onConnected(message[1]);
        break;
      case "gap":
        position.skip(message[1].last);
        this.#emitGap(message[1]);
        break;
      case "heartbeat":
        if (message[1].stream === answer?.stream) {
          // Whatever is for this connection up to there has come before.
          position.skip(message[1].offset);
          this.#heed(message[1]);
        }
    }
  }

  ask(): void {
    // From a name that no actor can have: that changes nothing, and is answered. The ping of a browser.
    this.#ask("unsubscribe", "connected");
  }

  onLost(loss: Loss): void {
    this.#link = null;
    const wasConnected = this.status === "connected";
    const { code, error: cause } = loss;
    const why = cause?.message || loss.reason || `close code ${code ?? "none"}`;
    if (!mayComeBack(code)) {
      this.#end(
        cause instanceof RingcastError
          ? cause
          : new RingcastError(
              code === 1009 ? "message_too_big" : wasConnected ? "connection_closed" : "connection_refused",
              why,
            ),
      );
      return;
    }
    this.lastError = new RingcastError("connection_lost", `connection lost (${why})`, { cause });
    if (wasConnected) {
      this.session.requests.lost();
      this.#subscriptions.lost();
      if (Date.now() - this.#connectedAt >= this.config.stableAfterMs) this.#backoff.reset();
      this.#setStatus("reconnecting");
      this.dispatch.deliver("disconnected");
    } else if (code === null) {
      // Where that fails, the server is gone, or the next attempt asks again.
      this.#options.endpoint.load("auto").catch(() => {});
    }
    if (loss.report) this.#report(cause);
    this.#goOn();
  }

  // Connecting.

  async #run(): Promise<void> {
    // Not at once: listeners that are added right behind `connect()` travel with the connect message, and a
    // connection that is closed in the same turn opens nothing.
    await null;
    while (!this.#isClosed()) {
      this.#setStatus(this.session.answer ? "reconnecting" : "connecting");
      await this.#attempt();
      if (!this.#isClosed()) await this.#pause();
    }
  }

  /** Connect once and stay until the socket is lost, or until the attempt has failed. */
  async #attempt(): Promise<void> {
    let { address, params, endpoint } = this.#options;
    try {
      // First, and once: with what it gives the actor is created as well.
      params = await paramsOf(params);
      await endpoint.load("sse");
      this.#connect = await address(params);
    } catch (error) {
      if (this.#isClosed()) return;
      this.lastError = error;
      // The actor could not be created; or the function has failed, and whatever it throws, the next attempt asks it again.
      if (typeof params !== "function" && error instanceof RingcastError) {
        if (!mayComeBack(error.code)) this.#end(error);
      } else this.#report(error);
      return;
    }
    if (this.#isClosed()) return;
    const link = (this.#link = new Link(this, this.config));
    await new Promise<void>((resolve) => {
      this.#goOn = resolve;
      link.open(endpoint.transport);
    }).catch((cause) =>
      // No WebSockets here, or not to this address: the next attempt would end no better.
      this.#end(new RingcastError("connection_refused", cause.message, { cause })),
    );
  }

  /** Wait before the next attempt; not as long as was drawn if the browser says that the network is back. */
  async #pause(): Promise<void> {
    // When the server that has just turned this client away wants to see it again.
    const toldMs = Number((this.lastError?.cause ?? this.lastError)?.metadata?.retry_after_ms);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let forget!: () => void;
    await new Promise<void>((resolve) => {
      this.#goOn = resolve;
      const wait = () => {
        // A longer one from before does nothing when it is over.
        timer = setTimeout(resolve, this.#backoff.nextDelayMs(toldMs));
      };
      forget = onPage("online", () => {
        if (toldMs >= 0) return;
        this.#backoff.reset();
        wait();
      });
      wait();
    });
    clearTimeout(timer);
    forget();
  }

  /** Return the connect message with these topics; without what a server can do without, where none are unconfirmed. */
  #connectWith(topics: string[], unconfirmed?: string[]): Payload {
    const resume = this.session.resume(unconfirmed?.map(toWire));
    const connect = { ...this.#connect, subscriptions: topics.map(toWire), resume };
    return this.config.codec.encode(["connect", connect]);
  }

  #onConnected(answer: Connected): void {
    const link = this.#link as Link;
    const isFirst = !this.session.answer;
    const gap = this.session.accept(answer);
    this.lastError = null;
    this.#connectedAt = Date.now();
    link.begin(answer.heartbeat_s);
    this.status = "connected";
    // In this order: repeated calls have the lowest ids, and a call that waited may cause events of a name that
    // was listened for before it was made.
    link.send(...this.session.requests.resend());
    const wanted = this.listeners.topics();
    this.#subscriptions.begin(this.#carried, wanted);
    for (const name of this.#subscriptions.unconfirmed(wanted)) this.#ask("subscribe", name);
    for (const name of this.#carried) if (!wanted.includes(name)) this.#ask("unsubscribe", name);
    link.send(...this.session.requests.sendQueued());
    for (const [resolve] of this.#readyWaiters.splice(0)) resolve();
    this.#setStatus("connected");
    this.dispatch.deliver(isFirst ? "connected" : "reconnected");
    if (answer.snapshot != null && this.listeners.has("resynced")) {
      if (gap) this.dispatch.deliver(FOR_STREAMS, gap);
      this.dispatch.deliver("resynced", answer.snapshot);
    } else if (gap) {
      this.#emitGap(gap);
    }
    if (answer.replayed != null) this.dispatch.deliver("replayed", answer.replayed);
    this.#heed(answer);
  }

  // Being connected.

  #onEvent(offset: number, name: string, args: unknown[]): void {
    const { position } = this.session;
    if (offset <= position.offset) return;
    // Before handlers run: one that fails, or loses the network, must not see the event again.
    position.skip(offset);
    if (!isActorEvent(name) || !this.listeners.has(name)) return;
    if (this.dispatch.waiting >= this.config.maxUnhandledEvents) {
      this.dispatch.clear();
      this.#emitGap({ reason: "handlers_behind" });
    }
    this.dispatch.deliver(name, ...args);
  }

  #onAnswer(id: number, error: RingcastError | null, value: unknown, chars: number): void {
    const { requests } = this.session;
    requests.answer(id, error, value, chars);
    this.#link?.send(...requests.received(), ...requests.sendQueued());
  }

  /**
   * Send a request that is no call; without a network the next connect message carries subscriptions, but for those
   * that begin anew: what another of the same event has missed was sent before.
   */
  #ask(kind: "subscribe" | "unsubscribe", name: string, isAnew?: unknown): void {
    if (this.status !== "connected") {
      if (isAnew && this.session.answer) this.#subscriptions.leave(name);
      return;
    }
    const request: Request = {
      kind,
      name,
      settle: (error) => {
        this.#subscriptions.answer(request, error);
        // One that fails to end a subscription does no harm: an event that comes then finds no listener.
        if (error && kind === "subscribe") this.#onRefused(name, error);
      },
    };
    this.#subscriptions.ask(request);
    // With all of them the client has to be able to come back.
    const connect = kind === "subscribe" && this.#connectWith(this.#subscriptions.taken());
    this.#link?.send(...this.session.requests.send(request, connect));
  }

  /** The server says how far apart clients are to come back, and which names this one may not, or no longer, listen for. */
  #heed({ reconnect_within_s, refused_subscriptions, refused_filters }: Connected | Heartbeat): void {
    this.#backoff.spreadMs = (reconnect_within_s ?? 0) * 1000;
    for (const [name, error] of Object.entries(refused_subscriptions ?? {}))
      this.#onRefused(name, fromWire(error));
    for (const [name, where, error] of refused_filters ?? [])
      this.#onRefused(topicOf(name, where), fromWire(error));
  }

  #onRefused(name: string, error: RingcastError): void {
    // What is too long, or is refused on the way, would not reach the server in a connect message either.
    this.#subscriptions.leave(name, error.fromServer && error.code !== "message_too_big");
    const text = `'${name.trim()}' was refused: ${error.message}`;
    this.#report(new RingcastError(error.code, text, { ...error, cause: error }));
  }

  // Telling.

  #setStatus(status: Status): void {
    this.status = status;
    if (status === this.#toldStatus) return;
    this.#toldStatus = status;
    for (const listener of [...this.statusListeners]) {
      try {
        listener(status);
      } catch (error) {
        this.#report(error);
      }
    }
  }

  #emitGap(gap: Gap): void {
    this.dispatch.deliver(FOR_STREAMS, gap);
    this.dispatch.deliver("gap", gap);
  }

  #report(error: unknown): void {
    if (this.listeners.has("error")) this.dispatch.deliver("error", error);
    else console.error("ringcast:", error);
  }

  // Ending.

  #isClosed(): boolean {
    return this.status === "closed";
  }

  #closedError(): RingcastError {
    const cause = this.endError;
    const why = cause ? `: ${cause.message}` : "";
    return new RingcastError("connection_closed", `the connection is closed${why}`, { cause });
  }
  /** End for good: with `error` by the other side, with null by this one. */
  #end(error: RingcastError | null): void {
    const waiters = this.#readyWaiters.splice(0);
    const wasConnected = this.status === "connected";
    this.endError = error;
    if (error) this.lastError = error;
    this.#setStatus("closed");
    this.session.requests.end(this.#closedError());
    for (const [, reject] of waiters) reject(error ?? this.#closedError());
    if (wasConnected) this.dispatch.deliver("disconnected");
    if (error && (this.listeners.has("error") || !waiters.length)) this.#report(error);
    this.dispatch.deliver(FOR_STREAMS, null, error);
    this.#options.onClosed();
    this.#goOn();
  }

  async #close(): Promise<void> {
    const link = this.#link;
    this.#link = null;
    if (!this.#isClosed()) {
      this.dispatch.clear(true);
      this.#end(null);
    }
    await link?.close();
  }
}

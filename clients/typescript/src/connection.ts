/**
 * A client's connection to one actor, as its user sees it: listeners, calls, streams, status.
 *
 * Staying connected is `lifecycle.ts`; running handlers is `dispatch.ts`.
 */

import { RingcastError } from "./errors.js";
import { type ConnectionOptions, Lifecycle, type Status } from "./lifecycle.js";
import { checkCall, checkName, FOR_STREAMS, isActorEvent } from "./listeners.js";
import type {
  ActionArgs,
  ActionName,
  ActionResult,
  Actions,
  ActorEventName,
  EventArgs,
  EventFilter,
  EventName,
  Snapshot,
  StreamItem,
} from "./registry.js";
import type { Request } from "./requests.js";
import { EventStream } from "./stream.js";

/** How a call is made. */
export interface CallOptions {
  /**
   * Stops waiting when it fires: `AbortSignal.timeout(5000)`. A call that was not sent is taken back; one that was
   * may still run.
   */
  signal?: AbortSignal;
}

/**
 * A live connection to one actor; made by `ActorHandle.connect`.
 *
 * Handlers run one at a time, in the order of arrival: the next event waits until the promise of an async handler has
 * settled. A call's result does not wait for async handlers, so that a handler may make calls. A handler that throws
 * reaches the `error` listeners, and stops nothing. Lifecycle events come through the same queue. A `gap` or an
 * `error` that nobody listens for goes to the console.
 */
export class ConnectionBase<A = any> {
  readonly #lifecycle: Lifecycle;

  /** @internal */
  constructor(options: ConnectionOptions) {
    this.#lifecycle = new Lifecycle(options);
  }

  // Listening.

  /**
   * Run `handler` with the arguments of every event `name`; return a function that ends this.
   *
   * With a filter, of those whose first argument has such fields: `where({ zone: 3, level__ge: 2 })`. Only those are
   * sent, if nobody listens for others. What the server refuses comes as an `error`.
   *
   * Handlers of a name run in the order in which they were added. The server is told about the first one of a
   * name, or of a name with this filter, and about the last one that goes.
   */
  on<N extends EventName<A>>(
    name: N,
    handler: (...args: EventArgs<A, N>) => unknown,
    filter?: EventFilter<A, N>,
  ): () => void {
    return this.#lifecycle.listeners.add(name, handler, { filter });
  }

  /**
   * Run `handler` for the next event `name` only, with a filter for the next that matches; return a function that ends
   * this before.
   */
  once<N extends EventName<A>>(
    name: N,
    handler: (...args: EventArgs<A, N>) => unknown,
    filter?: EventFilter<A, N>,
  ): () => void {
    return this.#lifecycle.listeners.add(name, handler, { filter, once: true });
  }

  /**
   * Remove a handler of `name`, every handler of `name`, or every handler, lifecycle ones too.
   *
   * Takes effect at once, also inside a handler. Streams are not touched: leave their loops, or close them.
   */
  off<N extends EventName<A>>(name?: N, handler?: (...args: EventArgs<A, N>) => unknown): void {
    this.#lifecycle.listeners.off(name, handler);
  }

  /** Return the events `name` from now on, for `for await`. Throws `RangeError` for a lifecycle name. */
  stream<N extends ActorEventName<A>>(name: N, filter?: EventFilter<A, N>): EventStream<StreamItem<A, N>> {
    checkName(name);
    if (!isActorEvent(name)) throw new RangeError(`${name} is a lifecycle event`);
    const { config, listeners, status, endError } = this.#lifecycle;
    return new EventStream(config.maxUnhandledEvents, (stream) => {
      const added = [
        listeners.add(name, (...args) => stream.put(args), { filter, internal: true }),
        listeners.add(FOR_STREAMS, (gap, error) => (gap ? stream.putGap(gap) : stream.end(error)), {
          internal: true,
        }),
      ];
      if (status === "closed") stream.end(endError);
      return () => {
        for (const remove of added) remove();
      };
    });
  }

  // Calling.

  /**
   * Run an action and return its result; for names that are also those of a method here, and for options.
   *
   * While there is no network the call waits; if it was sent already it is sent again, and runs once. Rejects with the
   * error that the action ended with, with `offline_queue_full` or `too_many_calls` when too many wait, with `outcome_unknown` when
   * the server no longer has the result after a lost network, with `connection_closed`, with the reason of a signal,
   * and with what encoding the arguments throws.
   */
  async call<N extends ActionName<A>>(
    action: N,
    args: ActionArgs<A, N> | [] = [],
    { signal }: CallOptions = {},
  ): Promise<ActionResult<A, N>> {
    checkCall(action, args);
    signal?.throwIfAborted();
    const lifecycle = this.#lifecycle;
    let abort: () => void;
    return new Promise<never>((resolve, reject) => {
      const request: Request = {
        kind: "call",
        name: action,
        args,
        settle: (error, value) => (error ? reject(error) : resolve(value as never)),
      };
      abort = () => {
        lifecycle.session.requests.abandon(request);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      lifecycle.submit(request);
    }).finally(() => signal?.removeEventListener("abort", abort));
  }

  // Lifecycle.

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`, as of now. */
  get status(): Status {
    return this.#lifecycle.status;
  }

  /** Run `listener` whenever the status has changed; return a function that ends this. `off` leaves it alone. */
  onStatusChange(listener: (status: Status) => void): () => void {
    const { statusListeners } = this.#lifecycle;
    // Wrapped, so that the same function twice is two registrations, as with `on`.
    const wrapped = (status: Status) => listener(status);
    statusListeners.add(wrapped);
    return () => statusListeners.delete(wrapped);
  }

  /** The id that the actor knows this connection by; null before the first connect. */
  get id(): string | null {
    return this.#lifecycle.session.answer?.connection ?? null;
  }

  /** The actor's id; null before the first connect. */
  get actorId(): string | null {
    return this.#lifecycle.session.answer?.actor_id ?? null;
  }

  /** The latest snapshot that the actor gave; undefined if it gives none. */
  get snapshot(): Snapshot<A> | undefined {
    return this.#lifecycle.session.snapshot as Snapshot<A> | undefined;
  }

  /** Epoch and offset of the last event that arrived. */
  get position(): { epoch: string | null; offset: number } {
    return { ...this.#lifecycle.session.position };
  }

  /** Why there is no connection at the moment, or why it has ended; null while connected. */
  get lastError(): unknown {
    return this.#lifecycle.lastError;
  }

  /**
   * Wait until connected. Attempts go on without end.
   *
   * Rejects when the server has refused the connection for good, with the reason, and after a close.
   */
  ready(): Promise<void> {
    return this.#lifecycle.ready();
  }

  /**
   * End the connection and its session, and wait for the server. A second time does nothing.
   *
   * Calls without an answer reject with `connection_closed`. Events that have not been handled are dropped. Streams
   * end.
   */
  close(): Promise<void> {
    return this.#lifecycle.close();
  }
}

/** A connection, with the actor's actions as methods. */
export type Connection<A = any> = ConnectionBase<A> & Actions<A, ConnectionBase<A>>;

/** Listening where there is no connection. */
export function needsConnection(): never {
  throw new RingcastError("not_connected", "events need handle.connect()");
}

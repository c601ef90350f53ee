/**
 * One connection, for everybody who uses it: from the first use to the end of the last one.
 *
 * Nothing here knows React. Who uses which connection is in `sharing.ts`; staying connected, and how long to
 * wait before the next try, is the client's alone.
 */

import type { Connection, Status } from "@ringcast/client";
import type { Target } from "./target.js";

/** What a component sees of a connection. An object is never changed: what changes is another one. */
export interface ActorState<A = any> {
  /** Null before there is one: in the first render, on the server, and while it is not enabled. */
  readonly connection: Connection<A> | null;
  /** `idle` while it is not enabled; `connecting`, `connected`, `reconnecting` or `closed` otherwise. */
  readonly status: Status;
  /**
   * Why there is no connection to the server at the moment, or, when closed, for good; null while connected.
   */
  readonly error: Error | null;
}

/** Nobody wants a connection. */
export const IDLE: ActorState = { connection: null, status: "idle", error: null };
/** A connection is wanted, and not yet made. */
export const WANTED: ActorState = { connection: null, status: "connecting", error: null };

/** A connection, its present state, and who uses it. */
export class SharedConnection {
  state: ActorState = WANTED;
  readonly #connection: Connection | null = null;
  /** Who uses it, in the order in which they came; one that uses it twice is there twice. */
  #users: Target[];
  readonly #watchers = new Set<() => void>();

  /** `connect` makes the connection, with these parameters; what it throws is the state's error. */
  constructor(user: Target, connect: (params: unknown) => Connection) {
    this.#users = [user];
    try {
      // Throws here for a value that cannot be encoded; as a function gave it, every try would fail, without
      // end. A connection that is closed in the turn in which it was made opens nothing.
      const { current } = user.params;
      if (typeof current !== "function") void connect(current).close();
      const connection = connect(() => this.#paramsOfTry());
      this.#connection = connection;
      connection.onStatusChange(() => this.#update());
      this.#update();
    } catch (error) {
      this.#change({ connection: null, status: "closed", error: asError(error) });
    }
  }

  get isUsed(): boolean {
    return this.#users.length > 0;
  }

  use(user: Target): void {
    this.#users.push(user);
  }

  leave(user: Target): void {
    this.#users.splice(this.#users.indexOf(user), 1);
  }

  /** Run `watcher` whenever the state is another one; return a function that ends this. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Run `handler` with the arguments of every event `name`; return a function that ends this. */
  listen(name: string, handler: (...args: any[]) => unknown): () => void {
    return this.#connection?.on(name, handler) ?? (() => {});
  }

  close(): void {
    void this.#connection?.close();
  }

  /**
   * Each try asks for parameters: the moment to see why the one before has failed, which is no new status.
   */
  #paramsOfTry(): unknown {
    this.#update();
    const params = this.#users.at(-1)?.params.current;
    return typeof params === "function" ? params() : params;
  }

  #update(): void {
    const connection = this.#connection as Connection;
    const { lastError } = connection;
    // A connection is idle for no longer than the turn in which it is made.
    const status = connection.status === "idle" ? "connecting" : connection.status;
    const error = lastError == null ? null : asError(lastError);
    const { state } = this;
    if (connection === state.connection && status === state.status && error === state.error) return;
    this.#change({ connection, status, error });
  }

  #change(state: ActorState): void {
    this.state = state;
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** A function that gives parameters may throw whatever it likes. */
function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/**
 * What the server has been told to send: names that it has confirmed, and names that are to begin anew. Pure.
 *
 * Who listens for a name is known to `listeners.ts`. This is about the other side: what a connect message says, so
 * that a name goes on without a seam or begins, and so that a session which has lost one is found out. A name with a
 * filter (`topics.ts`) is as good as a name of its own.
 */

import type { Request } from "./requests.js";

/** The names of one session, as its client knows them. */
export class Subscriptions {
  /** Those that the server has been asked for in this session; true once it has answered. */
  readonly #taken = new Map<string, boolean>();
  /** By name, the newest request about it that has no answer yet. */
  readonly #asked = new Map<string, Request>();
  /**
   * Names that lost their last listener, of which the server may not know, and such as are new beside another way to
   * the same events, and such as it was not asked for: whoever listens now wants nothing older.
   */
  readonly anew = new Set<string>();

  /** A request about a name is sent. */
  ask(request: Request): void {
    const { name, kind } = request;
    this.#asked.set(name, request);
    this.#taken.delete(name);
    if (kind === "subscribe") this.#taken.set(name, false);
  }

  /** A request about a name was answered, behind all events from before it. */
  answer(request: Request, refusal?: unknown): void {
    const { name, kind } = request;
    const isWanted = kind === "subscribe";
    // Or another one is on its way.
    const isNewest = this.#asked.get(name) === request;
    if (isWanted || isNewest) this.anew.delete(name);
    if (!isNewest) return;
    this.#asked.delete(name);
    // Whoever hears of a refusal calls `leave`.
    if (isWanted && !refusal) this.#taken.set(name, true);
  }

  /**
   * The server does not send this one, whatever it had said before: it has refused it. Or it is not to be in a connect message,
   * and begins anew: it has lost its last listener while there is no network, or has got its first beside others of its event,
   * or the server could not be asked for it.
   */
  leave(name: string, isRefused?: boolean): void {
    this.#taken.delete(name);
    if (!isRefused) this.anew.add(name);
  }

  /** The network is lost, and with it, perhaps, what was asked last. */
  lost(): void {
    for (const [name, { kind }] of this.#asked) if (kind === "unsubscribe") this.leave(name);
    this.#asked.clear();
  }

  /** A connect message was answered that carried these names: they are what the server has. */
  begin(carried: string[], wanted: string[]): void {
    for (const name of this.anew) if (!wanted.includes(name)) this.anew.delete(name);
    this.#taken.clear();
    for (const name of carried) if (!this.anew.has(name)) this.#taken.set(name, true);
  }

  /** Return the names that the server has, or will have once it has answered. */
  taken(): string[] {
    return [...this.#taken.keys()];
  }

  /** Return those names of a connect message of which nobody knows whether the session has them. */
  unconfirmed(carried: string[]): string[] {
    return carried.filter((name) => !this.has(name));
  }

  /** Tell whether the server has confirmed a name, and not refused it since. */
  has(name: string): boolean | undefined {
    return this.#taken.get(name);
  }
}

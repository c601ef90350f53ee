/**
 * Who uses which connection: one for all uses that mean the same, closed when the last of them has ended.
 *
 * A use begins in an effect, never while rendering: what React renders and gives up leaves nothing behind. It
 * ends at the end of the turn in which its effect is cleaned up, so that whoever comes in the same turn finds
 * the connection as it was: StrictMode's second run of an effect, or the next page in the place of this one.
 * Nothing is connected anew then, nor subscribed to.
 */

import type { Client } from "@ringcast/client";
import { type ActorState, IDLE, SharedConnection, WANTED } from "./shared.js";
import type { Target } from "./target.js";

/** The connections of one client that are in use. */
export class Sharing {
  readonly #client: Client;
  readonly #byIdentity = new Map<string, SharedConnection>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** The state of the connection that is meant: the same object for as long as nothing has changed. */
  state(target: Target | null): ActorState {
    return target ? (this.#byIdentity.get(target.identity)?.state ?? WANTED) : IDLE;
  }

  /**
   * Use the connection, and run `watcher` whenever its state has changed; return a function that ends both.
   */
  watch(target: Target, watcher: () => void): () => void {
    return this.#use(target, (shared) => shared.watch(watcher));
  }

  /** Use the connection, and run `handler` for every event `name`; return a function that ends both. */
  listen(target: Target, name: string, handler: (...args: any[]) => unknown): () => void {
    let active = true;
    const end = this.#use(target, (shared) =>
      shared.listen(name, (...args) => (active ? handler(...args) : undefined)),
    );
    return () => {
      active = false;
      end();
    };
  }

  #use(target: Target, begin: (shared: SharedConnection) => () => void): () => void {
    const shared = this.#shared(target);
    let end = () => {};
    try {
      end = begin(shared);
    } catch (error) {
      this.#leave(target, shared);
      throw error;
    }
    return () =>
      queueMicrotask(() => {
        end();
        this.#leave(target, shared);
      });
  }

  /** Return the connection that is meant, used once more; the first use makes it. */
  #shared(target: Target): SharedConnection {
    const { identity, name, key } = target;
    const present = this.#byIdentity.get(identity);
    if (present) {
      present.use(target);
      return present;
    }
    const shared = new SharedConnection(target, (params) =>
      this.#client.actor(name).getOrCreate(key).connect(params),
    );
    this.#byIdentity.set(identity, shared);
    return shared;
  }

  #leave(target: Target, shared: SharedConnection): void {
    shared.leave(target);
    if (shared.isUsed) return;
    this.#byIdentity.delete(target.identity);
    shared.close();
  }
}

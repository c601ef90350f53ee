/**
 * Running the handlers of a connection: one at a time, in the order in which things arrived.
 *
 * A handler runs at once, inside the message that brought its event. One that returns a promise is waited for before
 * anything later is handled; what arrives meanwhile waits here. What a handler throws goes to the `error`
 * listeners, or to the console if there are none, and stops nothing.
 */

import { FOR_STREAMS, isActorEvent, type Listener, type Listeners } from "./listeners.js";
import type { Subscriptions } from "./subscriptions.js";

type Waiting = [name: string, args: unknown[], listeners: readonly Listener[]];

/** The queue of one connection's events on their way to its listeners. */
export class Dispatch {
  readonly #listeners: Listeners;
  readonly #subscriptions: Subscriptions;
  #waiting: Waiting[] = [];
  /** Of those that wait, the actor's own events: this is what is bounded. */
  waiting = 0;
  #busy = false;

  constructor(listeners: Listeners, subscriptions: Subscriptions) {
    this.#listeners = listeners;
    this.#subscriptions = subscriptions;
  }

  /**
   * Run the listeners of `name`, now or as soon as everything before has been handled; not those whose filter the event
   * does not match, nor those of topics that are still to begin anew. What comes by a topic that is confirmed is not
   * for those of topics that are not. What comes by none was sent to this connection by itself, and is for all.
   */
  deliver(name: string, ...args: unknown[]): void {
    const names = this.#subscriptions;
    const wanting = this.#listeners
      .get(name)
      .filter(({ topic, filter }) => !names.anew.has(topic) && filter?.matches(args) !== false);
    const hearing = wanting.filter(({ topic }) => names.has(topic));
    this.#waiting.push([name, args, hearing[0] ? hearing : wanting]);
    if (isActorEvent(name)) this.waiting += 1;
    if (!this.#busy) void this.#run();
  }

  /**
   * Forget the actor's events that wait, and the gaps among them: whoever lets events go tells of one gap, which stands
   * for all. With `all`, forget everything. A handler that runs is not touched.
   */
  clear(all?: boolean): void {
    this.#waiting = this.#waiting.filter(
      ([name]) => !all && name !== "gap" && name !== FOR_STREAMS && !isActorEvent(name),
    );
    this.waiting = 0;
  }

  /** Runs to its end at once unless a handler returns a promise. */
  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length) {
      const [name, args, listeners] = this.#waiting.shift() as Waiting;
      const failures: unknown[] = [];
      if (isActorEvent(name)) this.waiting -= 1;
      // A stream has been told as well.
      if (name === "gap" && !listeners[0] && !this.#listeners.has(FOR_STREAMS))
        console.warn("ringcast: gap", ...args);
      for (const listener of listeners) {
        if (!listener.active) continue;
        // Before the handler runs: it must not fire again for what comes in the same read.
        if (listener.once) listener.remove();
        try {
          const result = listener.handler(...args);
          if ((result as PromiseLike<unknown> | undefined)?.then) await result;
        } catch (error) {
          failures.push(error);
        }
      }
      // Before anything later: in front of what waits.
      if (name === "error" || !this.#listeners.has("error")) {
        for (const error of failures) console.error(`ringcast: ${name} handler:`, error);
      } else {
        this.#waiting.unshift(
          ...failures.map((error): Waiting => ["error", [error], this.#listeners.get("error")]),
        );
      }
    }
    this.#busy = false;
  }
}

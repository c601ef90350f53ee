/**
 * Who wants to hear of what on one connection: pure, and safe to change from inside a handler.
 *
 * A listener that is removed is marked as such, so a delivery that is under way passes over it. Running handlers
 * is `dispatch.ts`; telling the server about subscriptions is done by whoever gives the two callbacks.
 */

import { MAX_NAME_CHARS, MAX_SUBSCRIPTIONS } from "./protocol.js";

/** It gets the arguments of the broadcast. A promise that it returns is waited for. */
export type Handler = (...args: any[]) => unknown;

/** The end of a connection, for its streams: no event can have this name. */
export const END = "";
/** Events are lost, whether or not a snapshot makes up for them; for streams. Too long for an event's name. */
export const LOST = "lost".padEnd(MAX_NAME_CHARS + 1);

/** What no actor may call its events. */
export const RESERVED_EVENTS = [
  "connected",
  "disconnected",
  "reconnected",
  "error",
  "replayed",
  "gap",
  "resynced",
];

/** Tell whether `name` is an event of the actor's, not one of the connection's own life. */
export const isActorEvent = (name: string): boolean => ![...RESERVED_EVENTS, END, LOST].includes(name);

/** One registration of one handler. */
export interface Listener {
  readonly name: string;
  readonly handler: Handler;
  readonly once: boolean;
  /** Belongs to a stream, which ends it itself: `off` leaves it alone. */
  readonly internal: boolean;
  active: boolean;
}

/** How a listener is registered, if not as an ordinary one. */
export interface ListenerOptions {
  once?: boolean;
  internal?: boolean;
}

/** The listeners of a connection by name, in the order in which they were added. */
export class Listeners {
  readonly #onFirst: (name: string) => void;
  readonly #onLast: (name: string) => void;
  readonly #byName = new Map<string, Listener[]>();

  /**
   * `onFirst` is called with an event name that gets its first listener, `onLast` with one that loses its last;
   * neither with a lifecycle name, which is never subscribed to.
   */
  constructor(onFirst: (name: string) => void, onLast: (name: string) => void) {
    this.#onFirst = onFirst;
    this.#onLast = onLast;
  }

  /**
   * Register `handler`, and return a function that takes this back; the same one registered twice runs twice.
   *
   * Throws `TypeError` if it cannot be called, and `RangeError` for a name that no event can have and for more
   * names than a connection may subscribe to.
   */
  add(name: string, handler: Handler, options: ListenerOptions = {}): () => void {
    const { once = false, internal = false } = options;
    if (typeof handler !== "function") throw new TypeError(`the handler of ${name} must be a function`);
    if (!internal) checkName(name, "an event's name");
    if (!this.has(name) && this.eventNames().length >= MAX_SUBSCRIPTIONS && isActorEvent(name)) {
      throw new RangeError(`a connection listens for at most ${MAX_SUBSCRIPTIONS} event names`);
    }
    const listener = { name, handler, once, internal, active: true };
    const listeners = this.#byName.get(name);
    if (listeners) {
      listeners.push(listener);
    } else {
      this.#byName.set(name, [listener]);
      if (isActorEvent(name)) this.#onFirst(name);
    }
    return () => this.remove(listener);
  }

  /** Take one registration back; a second time does nothing. */
  remove(listener: Listener): void {
    this.#drop(listener.name, (other) => other === listener);
  }

  /** Remove a handler of `name`, all handlers of `name`, or all handlers of all names. */
  off(name?: string, handler?: Handler): void {
    for (const each of name === undefined ? [...this.#byName.keys()] : [name]) {
      this.#drop(each, (other) => !other.internal && (!handler || other.handler === handler));
    }
  }

  /** Return the listeners of `name` as they are now: look at `active` before running each. */
  get(name: string): readonly Listener[] {
    return [...(this.#byName.get(name) ?? [])];
  }

  /** Tell whether anyone listens for `name`. */
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Return the names to subscribe to, in the order in which they got their first listener. */
  eventNames(): string[] {
    return [...this.#byName.keys()].filter(isActorEvent);
  }

  #drop(name: string, isGone: (listener: Listener) => boolean): void {
    const listeners = this.#byName.get(name);
    if (!listeners) return;
    const rest = [];
    for (const listener of listeners) {
      if (isGone(listener)) listener.active = false;
      else rest.push(listener);
    }
    if (rest.length) {
      this.#byName.set(name, rest);
    } else {
      this.#byName.delete(name);
      if (isActorEvent(name)) this.#onLast(name);
    }
  }
}

/** Throw `RangeError` for a name that the server would not take. */
export function checkName(name: string, what: string, least = 1): void {
  // The server counts code points, of which a string has at most its length.
  if (typeof name !== "string" || name.length < least || [...name].length > MAX_NAME_CHARS) {
    throw new RangeError(
      `${what} has ${least} to ${MAX_NAME_CHARS} characters, unlike ${JSON.stringify(name)}`,
    );
  }
}

/**
 * Who wants to hear of what on one connection: pure, and safe to change from inside a handler.
 *
 * A listener that is removed is marked as such, so a delivery that is under way passes over it. Running handlers
 * is `dispatch.ts`; telling the server about subscriptions is done by whoever gives the two callbacks.
 */

import { isText } from "./codec.js";
import type { Filter } from "./filter.js";
import { MAX_NAME_CHARS, MAX_SUBSCRIPTIONS, MAX_TOPICS_CHARS } from "./limits.js";
import { HALF } from "./protocol.js";
import { topicOf } from "./topics.js";

/** It gets the arguments of the broadcast. A promise that it returns is waited for. */
export type Handler = (...args: any[]) => unknown;

/**
 * For a connection's streams, with a gap: events are lost, whether or not a snapshot makes up for them; or, without one, with
 * the error that the connection has ended with. No event can have this name.
 */
export const FOR_STREAMS = "";

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
export const isActorEvent = (name: string): boolean =>
  name !== FOR_STREAMS && !RESERVED_EVENTS.includes(name);

/** One registration of one handler. */
export interface Listener extends ListenerOptions {
  readonly name: string;
  /** The name, or the name with the listener's filter: what the server is told. */
  readonly topic: string;
  readonly handler: Handler;
  /** Takes the registration back; a second time does nothing. */
  remove(): void;
  active: boolean;
}

/** How a listener is registered, if not as an ordinary one. */
export interface ListenerOptions {
  filter?: Filter | undefined;
  once?: boolean;
  /** Belongs to a stream, which ends it itself: `off` leaves it alone. */
  internal?: boolean;
}

/**
 * Learns of a topic (an event name, by itself or with a filter) that gets its first listener or loses its last. `beside` is
 * there if others of its event are, or were, listened for.
 */
type OnChange = (kind: "subscribe" | "unsubscribe", topic: string, beside?: unknown) => void;

/** The listeners of a connection by name, in the order in which they were added. */
export class Listeners {
  readonly #onChange: OnChange;
  readonly #byName = new Map<string, Listener[]>();

  /** `onChange` is never called for a lifecycle name, which is not subscribed to. */
  constructor(onChange: OnChange) {
    this.#onChange = onChange;
  }

  /**
   * Register `handler`, and return a function that takes this back; the same one registered twice runs twice.
   *
   * Throws `TypeError` if it cannot be called, and `RangeError` for a name that no event can have, and for more
   * events and filters, or longer ones, than a connection may subscribe to.
   */
  add(name: string, handler: Handler, options: ListenerOptions = {}): () => void {
    if (typeof handler !== "function") throw new TypeError(`${name} needs a function`);
    if (!options.internal) checkName(name);
    const topic = topicOf(name, options.filter?.where);
    const topics = this.topics();
    const isFirst = isActorEvent(name) && !topics.includes(topic);
    if (isFirst && (topics.push(topic) > MAX_SUBSCRIPTIONS || `${topics}`.length > MAX_TOPICS_CHARS)) {
      throw new RangeError("too many events");
    }
    const remove = () => this.#drop(name, (other) => other === listener);
    const listener: Listener = { ...options, name, topic, handler, remove, active: true };
    if (isFirst) this.#onChange("subscribe", topic, this.get(name)[0]);
    this.#byName.set(name, [...this.get(name), listener]);
    return remove;
  }

  /** Remove a handler of `name`, all handlers of `name`, or all handlers of all names. */
  off(name?: string, handler?: Handler): void {
    for (const each of name === undefined ? [...this.#byName.keys()] : [name]) {
      this.#drop(each, (other) => !other.internal && (!handler || other.handler === handler));
    }
  }

  /** Return the listeners of `name` as they are now: look at `active` before running each. */
  get(name: string): readonly Listener[] {
    return this.#byName.get(name) ?? [];
  }

  /** Tell whether anyone listens for `name`. */
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Return the topics to subscribe to: names in the order in which they got their first listener. */
  topics(): string[] {
    return topicsOf([...this.#byName.values()].flat());
  }

  #drop(name: string, isGone: (listener: Listener) => boolean): void {
    const listeners = this.get(name);
    const rest = listeners.filter((listener) => !isGone(listener) || (listener.active = false));
    if (rest.length) this.#byName.set(name, rest);
    else this.#byName.delete(name);
    const left = topicsOf(rest);
    for (const topic of topicsOf(listeners))
      if (!left.includes(topic)) this.#onChange("unsubscribe", topic, topic);
  }
}

/** The topics that the server is told, each once. */
const topicsOf = (listeners: readonly Listener[]) => [
  ...new Set(listeners.filter(({ name }) => isActorEvent(name)).map(({ topic }) => topic)),
];

/** Throw `RangeError` for a name that the server would not take. */
export function checkName(name: string, least = 1): void {
  // The server counts code points, of which a string has at most its length.
  if (!isText(name) || name.length < least || [...name].length > MAX_NAME_CHARS || HALF.test(name)) {
    throw new RangeError(`a name has ${least} to ${MAX_NAME_CHARS} characters, not ${JSON.stringify(name)}`);
  }
}

/** Throw for what is no call of an action: the server would end the connection. */
export function checkCall(action: string, args: unknown): void {
  checkName(action);
  if (!Array.isArray(args)) throw new TypeError("arguments are an array");
}

/**
 * What a client knows of the actors of its server at compile time: types only.
 *
 * A registry is an interface with an entry for each actor; without one, everything is allowed and of type `any`.
 */

import type { Filter } from "./filter.js";
import type { Gap } from "./protocol.js";
import type { NeverMade } from "./proxy.js";

/** What there is to know about one actor. All of it may be left out. */
export interface ActorType {
  /** What its connections take. */
  params?: unknown;
  /** What it is created from. */
  input?: unknown;
  /** By name, functions from the arguments of an action to its result. */
  actions?: object;
  /** By name, the tuple of an event's arguments. */
  events?: object;
  /** What `snapshot()` returns. */
  snapshot?: unknown;
}

/** A registry: `createClient<{ chatRoom: { events: { said: [text: string] } } }>(url)`. */
export type RegistryType<R> = { [N in keyof R]: ActorType };

type IsAny<T> = 0 extends 1 & T ? true : false;
type Member<A, N extends keyof ActorType> = A extends { [K in N]?: infer T } ? T : unknown;

/** The snapshot of an actor. */
export type Snapshot<A> = IsAny<A> extends true ? any : Member<A, "snapshot">;

/** What a connection tells about its own life, with the arguments of the handlers. */
export interface LifecycleEvents<A = any> {
  /** The first connect has gone well. */
  connected: [];
  /** The network, or the connection for good, is lost. */
  disconnected: [];
  /** The connection is back; one of the next three follows if anything was sent meanwhile. */
  reconnected: [];
  /** So many missed events follow. */
  replayed: [count: number];
  /** Events are lost. */
  gap: [gap: Gap];
  /** The actor's snapshot, on the first connect and in place of a gap: only events after it follow. */
  resynced: [snapshot: Snapshot<A>];
  /** Of a handler, of a refused subscription, of the parameter function, or the end for good. */
  error: [error: Error];
}

type Events<A> = Member<A, "events">;

/** The names that one can listen for. */
export type EventName<A> =
  IsAny<A> extends true ? string : keyof LifecycleEvents | (keyof Events<A> & string);

/** The names of an actor's own events. */
export type ActorEventName<A> = IsAny<A> extends true ? string : keyof Events<A> & string;

/** The arguments of an event. */
export type EventArgs<A, N> = N extends keyof LifecycleEvents
  ? LifecycleEvents<A>[N]
  : IsAny<A> extends true
    ? any[]
    : N extends keyof Events<A>
      ? Events<A>[N] extends readonly unknown[]
        ? Events<A>[N]
        : never
      : never;

/** What a stream gives for an event: its one argument, or all of them. */
export type StreamItem<A, N> =
  IsAny<A> extends true ? any : EventArgs<A, N> extends [infer T] ? T : EventArgs<A, N>;

type Operator =
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "in"
  | "not_in"
  | "has"
  | "prefix"
  | "is"
  | "is_not";
type FieldName<T> = T extends object ? keyof T & string : never;
type First<T> = T extends readonly [infer F, ...unknown[]] ? F : never;

/** A filter over the fields of an event's first argument, as `where` returns it. */
export type EventFilter<A, N> =
  IsAny<A> extends true
    ? Filter
    : Filter<FieldName<First<EventArgs<A, N>>> | `${FieldName<First<EventArgs<A, N>>>}__${Operator}`>;

type ActionTypes<A> = Member<A, "actions">;

/** The names of an actor's actions. */
export type ActionName<A> = IsAny<A> extends true ? string : keyof ActionTypes<A> & string;

type Fn<A, N> = N extends keyof ActionTypes<A> ? ActionTypes<A>[N] : never;

/** The arguments of an action. */
export type ActionArgs<A, N> =
  IsAny<A> extends true ? any[] : Fn<A, N> extends (...args: infer P) => unknown ? P : never;

/** The result of an action. */
export type ActionResult<A, N> =
  IsAny<A> extends true ? any : Fn<A, N> extends (...args: never) => infer T ? Awaited<T> : never;

/** An actor's actions as methods, save those whose names `Taken` has already, or JavaScript asks of any object. */
export type Actions<A, Taken> =
  IsAny<A> extends true
    ? // Any, so that `noUncheckedIndexedAccess` does not have each of them undefined.
      { [action: string]: any }
    : {
        [N in Exclude<ActionName<A>, keyof Taken | NeverMade>]: (
          ...args: ActionArgs<A, N>
        ) => Promise<ActionResult<A, N>>;
      };

/** A value, or a function that gives one for each connect and reconnect. */
export type Params<P> = P | (() => P | Promise<P>);

/** What `connect` takes: parameters, if the actor has any. */
export type ConnectArgs<A> =
  IsAny<A> extends true
    ? [params?: any]
    : A extends { params: infer P }
      ? undefined extends P
        ? [params?: Params<P>]
        : [params: Params<P>]
      : [params?: undefined];

/** What handles take besides a key or an id. */
export interface HandleOptions<A> {
  /**
   * For the actor's connect hooks, at each call without a connection, and for connections that are given none. A
   * connection that is given some has the handle take those from then on.
   */
  params?: ConnectArgs<A>[0];
}

/** What `create` and `getOrCreate` take besides a key. */
export interface CreateOptions<A> extends HandleOptions<A> {
  /** For the actor's `create_state`, if this creates it. */
  input?: IsAny<A> extends true ? any : Member<A, "input">;
}

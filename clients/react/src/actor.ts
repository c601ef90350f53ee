/** An actor as a component has it: the state of its connection, and the hooks that listen. */

import type { ConnectArgs, EventArgs, EventName, Key, Snapshot } from "@ringcast/client";
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { useEvent } from "./event.js";
import { type ActorState, IDLE, WANTED } from "./shared.js";
import type { Sharing } from "./sharing.js";
import { useSnapshot } from "./snapshot.js";
import { useTarget } from "./target.js";

/** Which actor a component wants a connection to. */
export type ActorOptions<A = any, N = string> = {
  /** The actor's name in the registry. */
  name: N;
  /** The parts of its key; a text is a key of one part, and no key is one without parts. */
  key?: Key;
  /** Whether there is to be a connection; true if it is not given. */
  enabled?: boolean;
} & ParamsOption<A>;

/**
 * What the actor's connect hooks get, if they want anything: a value, or a function that is called for each
 * connect and reconnect.
 */
type ParamsOption<A> =
  [] extends ConnectArgs<A> ? { params?: ConnectArgs<A>[0] } : { params: ConnectArgs<A>[0] };

/** What `useActor` returns. Its methods are hooks: call them while rendering, in each render. */
export type Actor<A = any> = ActorState<A> & {
  /**
   * Run `handler` with the arguments of every event `name`, for as long as the component is mounted.
   *
   * It is the handler of the latest render that runs; another one costs nothing. One that returns a promise
   * holds up what comes later until that is settled, for everybody on the connection.
   */
  useEvent<N extends EventName<A>>(name: N, handler: (...args: EventArgs<A, N>) => unknown): void;
} & SnapshotHook<A>;

/** For an actor that gives snapshots, and for one of which nothing is known. */
export type SnapshotHook<A> = 0 extends 1 & A
  ? WithSnapshot<A>
  : A extends { snapshot: unknown }
    ? WithSnapshot<A>
    : unknown;

interface WithSnapshot<A> {
  /**
   * Return the latest snapshot that came, undefined before the first one.
   *
   * It is the actor's view at the moment of the first connect, or of the latest gap. Events since then are
   * not in it.
   */
  useSnapshot(): Snapshot<A> | undefined;
}

/** Return the actor for this render. */
export function useActor(sharing: Sharing, options: ActorOptions): Actor {
  const { name, key = [], params, enabled = true } = options;
  const target = useTarget(name, key, params, enabled);
  const subscribe = useCallback(
    (watcher: () => void) => (target ? sharing.watch(target, watcher) : () => {}),
    [sharing, target],
  );
  const state = useSyncExternalStore(
    subscribe,
    () => sharing.state(target),
    // On the server, and in the render that takes its page over, there is never a connection.
    () => (target ? WANTED : IDLE),
  );
  return useMemo(
    () => ({
      ...state,
      useEvent: (name: string, handler: (...args: any[]) => unknown) =>
        useEvent(sharing, target, name, handler),
      useSnapshot: () => useSnapshot(sharing, target),
    }),
    [sharing, target, state],
  );
}

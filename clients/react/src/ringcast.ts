/** The hooks of one client. */

import type { Client, RegistryType } from "@ringcast/client";
import { type Actor, type ActorOptions, useActor } from "./actor.js";
import { Sharing } from "./sharing.js";

/** What `createRingcast` returns. */
export interface Ringcast<R = any> {
  /**
   * Return the actor's connection, its state, and the hooks that listen.
   *
   * Components that ask for the same name, with an equal key and equal parameters, share one connection. It
   * is made once the first of them is mounted, and closed when the last one is not any more. A connection
   * that is lost comes back by itself; one that was refused stays closed, with its error, until nobody asks
   * for it.
   */
  useActor<N extends keyof R & string>(options: ActorOptions<R[N], N>): Actor<R[N]>;
}

/** Return the hooks that connect through `client`. Call this once for a client, outside of components. */
export function createRingcast<R extends RegistryType<R> = any>(client: Client<R>): Ringcast<R> {
  const sharing = new Sharing(client as Client);
  return { useActor: (options) => useActor(sharing, options as ActorOptions) as any };
}

/**
 * The client: where handles come from, and what is closed together.
 *
 * It makes addresses; calls and connections are made by `handle.ts` and `connection.ts`.
 */

import { type ClientOptions, configFrom } from "./config.js";
import { type Connection, ConnectionBase } from "./connection.js";
import { Endpoint } from "./endpoint.js";
import { RingcastError } from "./errors.js";
import { type ActorHandle, HandleBase, type HandleOwner } from "./handle.js";
import { MAX_KEY_PARTS } from "./limits.js";
import { checkName } from "./listeners.js";
import { onPage } from "./page.js";
import type { Address, Lookup } from "./protocol.js";
import { type NeverMade, withActions, withNames } from "./proxy.js";
import type { CreateOptions, HandleOptions, RegistryType } from "./registry.js";

/** The parts of an actor's key; a string is a key of one part. */
export type Key = string | readonly string[];

/** The actors of one name: `client.chatRoom`. */
export interface ActorAccess<A = any> {
  /** Return a handle to the actor with this key, which is created at the first use if there is none. */
  getOrCreate(key?: Key, options?: CreateOptions<A>): ActorHandle<A>;
  /** Return a handle to an actor that exists: its use rejects with `actor_not_found` if it does not. */
  get(key?: Key, options?: HandleOptions<A>): ActorHandle<A>;
  /**
   * Return a handle to a new actor; `await handle.resolve()` creates it now, otherwise its first use does.
   *
   * Either rejects with `actor_already_exists` if there is one with this key.
   */
  create(key?: Key, options?: CreateOptions<A>): ActorHandle<A>;
  /** Return a handle to the actor with this id: its use rejects with `actor_not_found` if there is none. */
  getForId(actorId: string, options?: HandleOptions<A>): ActorHandle<A>;
}

/** The actors of one server. */
export class ClientBase<R = any> {
  readonly #owner: HandleOwner;
  readonly #connections = new Set<Connection>();
  readonly #forgetPage: () => void;
  #closed = false;

  /** @internal */
  constructor(options: ClientOptions) {
    const config = configFrom(options);
    const endpoint = new Endpoint(options, config);
    const check = () => {
      if (this.#closed) throw new RingcastError("connection_closed", "client is closed");
    };
    this.#owner = {
      endpoint,
      check,
      connect: (address, params) => {
        check();
        // What cannot be encoded is the caller's error now, not one of every attempt to come.
        if (typeof params !== "function") config.codec.encode(["connect", { params }]);
        const onClosed = () => this.#connections.delete(connection);
        const connection: Connection = withActions(
          new ConnectionBase({ endpoint, config, address, params, onClosed }),
        );
        this.#connections.add(connection);
        return connection;
      },
    };
    // A page that goes for good can never come back to its sessions; one that is kept for later can.
    this.#forgetPage = onPage("pagehide", (event) => {
      if (!(event as { persisted?: boolean }).persisted) void this.close();
    });
  }

  /** The actors of a name; `client.chatRoom` is the same, unless it is a method of the client. */
  actor<N extends keyof R & string>(name: N): ActorAccess<R[N]> {
    checkName(name);
    const handle = (address: Omit<Address, "actor">): ActorHandle<R[N]> =>
      withActions(new HandleBase<R[N]>(this.#owner, { actor: name, ...address }));
    const byKey =
      (lookup: Lookup) =>
      (key: Key = [], options?: CreateOptions<R[N]>) => {
        const parts = [key].flat();
        for (const part of parts) checkName(part, 0);
        if (parts.length > MAX_KEY_PARTS) throw new RangeError(`a key has at most ${MAX_KEY_PARTS} parts`);
        return handle({ lookup, key: parts, ...options });
      };
    return {
      getOrCreate: byKey("get_or_create"),
      get: byKey("get"),
      create: byKey("create"),
      getForId: (id, options) => {
        checkName(id);
        return handle({ lookup: "id", actor_id: id, ...options });
      },
    };
  }

  /** Close every connection: handles reject with `connection_closed` from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forgetPage();
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }
}

/** A client, with the actors of its registry as properties. */
export type Client<R = any> = ClientBase<R> & {
  [N in Exclude<keyof R, keyof ClientBase | NeverMade>]: ActorAccess<R[N]>;
};

/**
 * Return a client of the server at `url`: `createClient("http://localhost:8080")`.
 *
 * Nothing is sent before an actor is used. The snake_case and the camelCase name of an actor mean the same. Throws
 * `TypeError` for what is no address, and `RangeError` for a setting that makes no sense.
 */
export function createClient<R extends RegistryType<R> = any>(
  options: string | URL | ClientOptions,
): Client<R> {
  const given = options as ClientOptions;
  const base = new ClientBase<R>(given.url == null ? { url: options as string } : given);
  return withNames(base, (name) => base.actor(name as keyof R & string)) as Client<R>;
}

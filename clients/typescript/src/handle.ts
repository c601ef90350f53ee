/**
 * An actor as its callers see it: calls without a connection, and the way to one.
 *
 * A handle holds an address, no resources; make as many as you like. Events need a connection.
 */

import type { CallOptions, Connection } from "./connection.js";
import { needsConnection } from "./connection.js";
import { type Endpoint, paramsOf } from "./endpoint.js";
import { checkCall } from "./listeners.js";
import type { Address } from "./protocol.js";
import type { ActionArgs, ActionName, ActionResult, Actions, ConnectArgs } from "./registry.js";

/** What a handle needs of its client. */
export interface HandleOwner {
  readonly endpoint: Endpoint;
  /** Throw `connection_closed` once the client is closed. */
  check(): void;
  /** Start a connection that closes with the client. */
  connect(address: (params: unknown) => Promise<Address>, params: unknown): Connection;
}

/** One actor, addressed by key or id; made by `client.chatRoom.getOrCreate(key)` and its siblings. */
export class HandleBase<A = any> {
  readonly #owner: HandleOwner;
  #address: Address;
  #resolving: Promise<string> | null | undefined;

  /** @internal */
  constructor(owner: HandleOwner, address: Address) {
    this.#owner = owner;
    this.#address = address;
    // An answer may be lost: whoever asks again has to be known as the one who created it. (Pages without TLS have no
    // `randomUUID`.)
    if (address.lookup === "create") {
      address.attempt = crypto.getRandomValues(new Uint32Array(4)).join("-");
    }
    this.actorId = address.actor_id ?? null;
    this.actorName = address.actor;
    this.key = address.key ?? [];
  }

  declare readonly actorName: string;
  /** The key it was asked for with; empty if it was by id. */
  declare readonly key: readonly string[];

  /** The actor's id, once it is known: asked for by id, resolved, or created. */
  declare readonly actorId: string | null;

  /**
   * Find, or create, the actor now and return its id: otherwise its first use does.
   *
   * Rejects with `actor_not_found` for `get` of a missing actor, with `actor_already_exists` for `create` of an
   * existing one.
   */
  async resolve(): Promise<string> {
    this.#owner.check();
    return this.#resolve(await paramsOf(this.#address.params));
  }

  /**
   * Run an action over HTTP, without a connection; for names that are also those of a method here, and for options.
   *
   * Rejects with the error that the action ended with; with `unreachable` or `outcome_unknown` when no answer comes;
   * with the reason of a signal.
   */
  async call<N extends ActionName<A>>(
    action: N,
    args: ActionArgs<A, N> | [] = [],
    { signal }: CallOptions = {},
  ): Promise<ActionResult<A, N>> {
    this.#owner.check();
    checkCall(action, args);
    return this.#owner.endpoint.post(
      await this.#current(await paramsOf(this.#address.params)),
      `actions/${encodeURIComponent(action)}`,
      args,
      signal,
    ) as ActionResult<A, N>;
  }

  /**
   * Return a connection that starts to connect in the background; close it when done.
   *
   * The parameters go to the actor's connect hooks. A function, also an async one, is called for every connect and
   * reconnect: use it for tokens that expire. Register listeners right away: they travel with the connect message.
   */
  connect(...[params]: ConnectArgs<A>): Connection<A> {
    // Also what creates the actor, and calls, are asked who they are.
    return this.#owner.connect(
      (params) => this.#current(params),
      (this.#address.params = params ?? this.#address.params),
    ) as Connection<A>;
  }

  /** Throws `not_connected`: events come over connections only. */
  readonly on: (...args: unknown[]) => never = needsConnection;
  readonly once = this.on;
  readonly off = this.on;
  readonly stream = this.on;

  async #current(params: unknown): Promise<Address> {
    if (this.#address.attempt) await this.#resolve(params);
    return { ...this.#address, params };
  }

  /** Once at a time, also for uses that come together; behind the parameters, whose failure is that of one use alone. */
  #resolve(given: unknown): Promise<string> {
    return (this.#resolving ??= this.#owner.endpoint
      .post({ ...this.#address, params: given }, "resolve")
      .then((id: any) => {
        // One that is to be created is created once, and found by its id from then on.
        const { params, attempt } = this.#address;
        if (attempt) this.#address = { actor: this.actorName, params, lookup: "id", actor_id: id };
        return ((this as { actorId: string | null }).actorId = id);
      })
      .finally(() => (this.#resolving = null)));
  }
}

/** A handle, with the actor's actions as methods. */
export type ActorHandle<A = any> = HandleBase<A> & Actions<A, HandleBase<A>>;

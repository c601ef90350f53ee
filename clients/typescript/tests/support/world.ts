/** What tests of connections share: one server for a file, clients that are closed after each test. */

import { decode, encode } from "@msgpack/msgpack";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { WebSocket } from "ws";
import { type Client, type ClientOptions, createClient } from "../../src/index.js";
import { msgpack } from "../../src/msgpack.js";
import { Network } from "./network.js";
import { type RegistryName, Server } from "./server.js";

/** Quick to come back, so that tests need not wait. */
export const IMPATIENT = { reconnectFirstMs: 20, reconnectBaseMs: 20, reconnectMaxMs: 100, WebSocket };

export const CODECS = { json: undefined, msgpack: msgpack({ encode, decode }) };

/** What a test needs of the world outside the client. */
export interface World {
  server: Server;
  /** Between the server and the clients that `far` makes. */
  network: Network;
  /** A key that no other test uses. */
  key: string;
  /** Return a client that reaches the server directly. */
  near(options?: Partial<ClientOptions>): Client;
  /** Return a client whose network can be lost. */
  far(options?: Partial<ClientOptions>): Client;
}

/** Start a server for the tests of a file, and give each test a network and clients of its own. */
export function useWorld(registry: RegistryName = "registry"): World {
  const clients: Client[] = [];
  const make = (url: string, options?: Partial<ClientOptions>) => {
    const client = createClient({ url, ...IMPATIENT, ...options });
    clients.push(client);
    return client;
  };
  const world: World = {
    server: undefined as unknown as Server,
    network: undefined as unknown as Network,
    key: "",
    near: (options) => make(world.server.url, options),
    far: (options) => make(world.network.url, options),
  };
  let count = 0;
  beforeAll(async () => {
    world.server = await Server.start(registry);
  });
  beforeEach(async () => {
    count += 1;
    world.key = `key-${count}`;
    world.network = await Network.to(world.server);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await world.network.close();
  });
  afterAll(async () => {
    await world.server?.stop();
  });
  return world;
}

/** Return a class of WebSockets, and what connects it has sent; `onConnect` is called behind each. */
export function recording(onConnect: (connect: any) => void = () => {}) {
  const connects: any[] = [];
  class Recording extends WebSocket {
    override send(data: any): void {
      super.send(data);
      const [kind, connect] = JSON.parse(data);
      if (kind !== "connect") return;
      connects.push(connect);
      onConnect(connect);
    }
  }
  return { connects, WebSocket: Recording };
}

/** Wait until `condition` holds, or fail after some seconds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await condition()).toBe(true), { timeout: 10_000, interval: 5 });
}

/** Return what `promise` rejects with. */
export async function failure(promise: Promise<unknown>): Promise<any> {
  return promise.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: unknown) => error,
  );
}

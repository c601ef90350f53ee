/** What tests of connections share: one server for a file, clients that are closed after each test. */

import { decode, encode } from "@msgpack/msgpack";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, vi } from "vitest";
import { WebSocket } from "ws";
import { type Client, type ClientOptions, createClient } from "../../src/index.js";
import { msgpack } from "../../src/msgpack.js";
import { Network } from "./network.js";
import { type RegistryName, Server } from "./server.js";

/** Quick to come back, so that tests need not wait. */
export const IMPATIENT = { reconnectFirstMs: 20, reconnectBaseMs: 20, reconnectMaxMs: 100, WebSocket };

declare module "vitest" {
  interface ProvidedContext {
    /** What connects the clients of a run: see `vitest.config.ts`. */
    transport?: "auto" | "sse" | "websocket";
  }
}

/** The React hooks, which use these tests' world too, take whatever connects. */
export const TRANSPORT = inject("transport") ?? "websocket";

/** Those that the transport carries. */
export const CODECS = {
  json: undefined,
  ...(TRANSPORT !== "sse" ? { msgpack: msgpack({ encode, decode }) } : {}),
};

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
    const client = createClient({ url, ...IMPATIENT, transport: TRANSPORT, ...options });
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

/** What clients have sent, as it was seen on its way. */
export interface Recording {
  /** The connect messages. */
  connects: any[];
  /** How each of them was sent. */
  carriers: ("websocket" | "sse")[];
  /** All other messages. */
  sent: any[];
  /** To be given to `createClient`. */
  options: Pick<ClientOptions, "WebSocket" | "fetch">;
}

/** Record what is sent; `onConnect` is called behind each connect message. */
export function recording(onConnect: (connect: any) => void = () => {}): Recording {
  const record: Recording = { connects: [], carriers: [], sent: [], options: {} };
  const onMessage = (message: any, carrier: "websocket" | "sse") => {
    if (message[0] !== "connect") {
      record.sent.push(message);
      return;
    }
    record.connects.push(message[1]);
    record.carriers.push(carrier);
    onConnect(message[1]);
  };
  record.options.WebSocket = class extends WebSocket {
    override send(data: any): void {
      super.send(data);
      onMessage(JSON.parse(data), "websocket");
    }
  };
  record.options.fetch = async (url, init) => {
    const body = init?.body ? JSON.parse(`${init.body}`) : null;
    if (/\/messages$/.test(`${url}`))
      for (const each of Array.isArray(body[0]) ? body : [body]) onMessage(each, "sse");
    const response = await fetch(url, init);
    // As one over a WebSocket, which is not sent before there is a network.
    if (/\/events$/.test(`${url}`)) onMessage(["connect", body], "sse");
    return response;
  };
  return record;
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

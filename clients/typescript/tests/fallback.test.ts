/** Which way a client takes: a WebSocket, and server-sent events where a network lets none through. */

import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { createClient } from "../src/index.js";
import { BLOCKS } from "./support/network.js";
import { CODECS, failure, recording, until, useWorld } from "./support/world.js";

const world = useWorld();
// Short, so that what answers nothing is given up soon: an upgrade gets a quarter of it.
const SHORT = { connectTimeoutMs: 2_000, closeTimeoutMs: 1_000 };
/** Tried again at every connect. */
const AT_ONCE = { websocketRetryMs: 0 };

let warn: MockInstance;
beforeEach(() => {
  warn = vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterEach(() => warn.mockRestore());
const warnings = () =>
  warn.mock.calls.filter(([text]) => `${text}`.includes("WebSockets do not get through"));

/** Return a connection over the network that may block it, and what it sends. */
function connect(options = {}) {
  const record = recording();
  const client = world.far({ ...record.options, ...SHORT, ...options });
  const handle = client.actor("chatRoom").getOrCreate(world.key);
  return { ...record, handle, connection: handle.connect() };
}

describe.each(BLOCKS)("where a network answers to an upgrade with: %s", (block) => {
  test("events come all the same, actions run, and the user is told once", async () => {
    world.network.block = block;
    const { connection, handle, carriers } = connect();
    const heard: unknown[] = [];
    connection.on("said", (text) => heard.push(text));
    await connection.say("hello");
    expect(heard).toEqual(["hello"]);
    expect(carriers.at(-1)).toBe("sse");
    expect(warnings()).toHaveLength(1);
    const { upgrades } = world.network;
    // It is remembered, for all connections of the client.
    const another = handle.connect();
    await another.ready();
    expect(carriers.at(-1)).toBe("sse");
    expect(world.network.upgrades).toBe(upgrades);
    expect(warnings()).toHaveLength(1);
  });
});

test("where nothing is blocked it is a WebSocket, and nothing else is asked", async () => {
  const { connection, carriers } = connect();
  await connection.ready();
  expect([carriers, world.network.tries]).toEqual([["websocket"], 1]);
});

test.each([null, "refuse"] as const)("a server that is down is waited for, blocked by: %s", async (block) => {
  world.network.block = block;
  world.network.cut();
  const { connection, carriers } = connect();
  await until(() => connection.lastError !== null);
  expect(connection.status).toBe("connecting");
  world.network.restore();
  await connection.ready();
  expect(carriers.at(-1)).toBe(block ? "sse" : "websocket");
  expect(warnings()).toHaveLength(block ? 1 : 0);
});

test("a network that is lost now and then blocks nothing", async () => {
  const { connection, carriers } = connect();
  await connection.ready();
  for (let round = 0; round < 5; round += 1) {
    const back = new Promise<void>((resolve) => connection.once("reconnected", resolve));
    world.network.blink();
    await back;
  }
  expect(new Set(carriers)).toEqual(new Set(["websocket"]));
  expect(warnings()).toEqual([]);
});

test("a session goes on over events when upgrades become blocked, and back, and misses nothing", async () => {
  const { connection, carriers, handle } = connect(AT_ONCE);
  const near = world.near().actor("chatRoom").getOrCreate(world.key);
  const heard: unknown[] = [];
  connection.on("said", (text) => heard.push(text));
  connection.on("gap", (gap) => heard.push(gap));
  await connection.ready();
  const { id } = connection;
  for (const block of ["refuse", null, "strip"] as const) {
    world.network.cut();
    await until(() => connection.status === "reconnecting");
    await near.say(`${block}`);
    const answer = connection.say(`after ${block}`);
    world.network.block = block;
    world.network.restore();
    await answer;
    expect(carriers.at(-1)).toBe(block ? "sse" : "websocket");
    expect(connection.id).toBe(id);
  }
  expect(heard).toEqual(["refuse", "null", "strip"].flatMap((block) => [block, `after ${block}`]));
  await connection.close();
  expect(await handle.call("connections")).toEqual([]);
});

test("after a while a WebSocket is tried again", async () => {
  world.network.block = "refuse";
  const { connection, handle, carriers } = connect(AT_ONCE);
  await connection.ready();
  const { upgrades } = world.network;
  await handle.connect().ready();
  // Twice, or more often where the server is too slow to show that it is there.
  expect(world.network.upgrades).toBeGreaterThanOrEqual(upgrades + 2);
  world.network.block = null;
  await handle.connect().ready();
  expect(carriers.at(-1)).toBe("websocket");
});

test("where events do not get through any more a WebSocket is tried before its time", async () => {
  let areBlocked = false;
  const blocking: typeof fetch = async (url, init) => {
    if (areBlocked && `${url}`.endsWith("/events")) throw new TypeError("blocked");
    return fetch(url, init);
  };
  world.network.block = "refuse";
  const { connection, carriers } = connect({ fetch: blocking });
  await connection.ready();
  expect(carriers).toEqual([]);
  areBlocked = true;
  world.network.block = null;
  world.network.blink();
  await until(() => carriers.length === 1);
  await connection.say("hello");
  expect(carriers).toEqual(["websocket"]);
});

test("MessagePack has no other way", async () => {
  world.network.block = "drop";
  const { fetch: asked } = globalThis;
  const urls: string[] = [];
  const fetch: typeof asked = (url, init) => {
    urls.push(`${url}`);
    return asked(url, init);
  };
  const client = world.far({ ...SHORT, fetch, codec: CODECS.msgpack });
  const connection = client.actor("chatRoom").getOrCreate(world.key).connect();
  await until(() => world.network.upgrades > 4);
  expect(connection.status).toBe("connecting");
  expect(urls.filter((url) => !url.endsWith("/health"))).toEqual([]);
});

test("only what was asked for is used", async () => {
  const events = connect({ transport: "sse" });
  world.network.block = "drop";
  await events.connection.say("hello");
  expect([events.carriers, world.network.upgrades]).toEqual([["sse"], 0]);
  expect(warnings()).toEqual([]);
  const sockets = connect({ transport: "websocket" });
  await until(() => world.network.upgrades > 4);
  expect(sockets.carriers).toEqual([]);
});

test("server-sent events need no class of WebSockets", async () => {
  vi.stubGlobal("WebSocket", undefined);
  const connection = world
    .far({ WebSocket: undefined, transport: "sse" })
    .actor("chatRoom")
    .getOrCreate(world.key)
    .connect();
  await connection.say("hello");
  vi.unstubAllGlobals();
});

test("a stream that cannot be loaded as the server is down is loaded when it is back", async () => {
  world.network.cut();
  const { connection, carriers } = connect({ transport: "sse" });
  await until(() => connection.lastError !== null);
  expect(connection.lastError).toMatchObject({ code: "unreachable" });
  world.network.restore();
  await connection.ready();
  expect(carriers).toEqual(["sse"]);
});

test("closing while a way is looked for leaves nothing behind", async () => {
  world.network.block = "swallow";
  const { connection, carriers } = connect();
  await until(() => world.network.upgrades > 0);
  await connection.close();
  expect(connection.status).toBe("closed");
  expect(await failure(connection.ready())).toMatchObject({ code: "connection_closed" });
  expect(carriers).toEqual([]);
});

test("a transport that cannot be is refused", () => {
  const url = "http://localhost";
  expect(() => createClient({ url, transport: "pigeon" as any })).toThrow("no transport pigeon");
  expect(() => createClient({ url, transport: "sse", codec: CODECS.msgpack })).toThrow(RangeError);
});

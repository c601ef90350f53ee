/** What is longer than the server takes fails by itself; the connection and all else go on. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { json } from "../src/codec.js";
import { type Client, createClient, where } from "../src/index.js";
import { HttpProxy } from "./support/http_proxy.js";
import { CODECS, failure, IMPATIENT, TRANSPORT, until, useWorld } from "./support/world.js";

const world = useWorld("narrow");
/** What that server takes. */
const LIMIT = 1000;
const TOO_BIG = { code: "message_too_big", message: `not sent: over ${LIMIT} bytes`, fromServer: false };
const clumsy = (options = {}) => world.far(options).actor("clumsy").getOrCreate(world.key).connect({});

test("a call fails alone: events, and a call that is under way, go on", async () => {
  const connection = world.near().actor("feed").getOrCreate(world.key).connect();
  const heard: unknown[] = [];
  connection.on("item", (item) => heard.push(item));
  for (const name of ["disconnected", "gap", "error"] as const)
    connection.on(name, (...args) => heard.push([name, ...args]));
  await connection.ready();
  const adding = new Promise<void>((resolve) => connection.once("adding", resolve));
  const slow = connection.addSlowly(5);
  await adding;
  await connection.emit(1);
  expect(await failure(connection.add("x".repeat(100_000)))).toMatchObject(TOO_BIG);
  await connection.emit(1);
  await connection.release();
  expect(await slow).toBe(5);
  await until(() => heard.length >= 2);
  expect(heard).toEqual([1, 2]);
  expect([connection.status, connection.lastError]).toEqual(["connected", null]);
});

test.each(Object.entries(CODECS))(
  "what is just as long as the server takes is sent: %s",
  async (_, codec = json) => {
    const connection = clumsy({ codec });
    await connection.ready();
    const { id } = connection;
    const bytes = (text: string) => Buffer.from(codec.encode(["call", 1, "echo", [text]])).length;
    const spare = LIMIT - bytes("x".repeat(300)) + 300;
    const longest = "ü".repeat(spare / 2) + "x".repeat(spare % 2);
    expect(bytes(longest)).toBe(LIMIT);
    expect(await connection.echo(longest)).toBe(longest);
    expect(await failure(connection.echo(`${longest}x`))).toMatchObject(TOO_BIG);
    expect(await connection.echo(longest)).toBe(longest);
    expect([connection.status, connection.id]).toEqual(["connected", id]);
  },
);

test("a call that has waited for the network fails alone, when it would be sent", async () => {
  const connection = clumsy();
  await connection.ready();
  const { id } = connection;
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  const before = connection.echo("a");
  let settled = false;
  const failed = failure(connection.echo("x".repeat(2 * LIMIT))).finally(() => (settled = true));
  const after = connection.echo("abc");
  const { tries } = world.network;
  await until(() => world.network.tries > tries);
  expect(settled).toBe(false);
  world.network.restore();
  expect(await Promise.all([before, after])).toEqual(["a", "abc"]);
  expect(await failed).toMatchObject(TOO_BIG);
  expect([connection.status, connection.id]).toEqual(["connected", id]);
});

test("a subscription fails alone", async () => {
  const connection = world.near().actor("world").getOrCreate(world.key).connect();
  await connection.ready();
  const errors: unknown[] = [];
  const heard: unknown[] = [];
  connection.on("error", (error) => errors.push(error));
  connection.on("moved", () => {}, where({ name: "x".repeat(LIMIT) }));
  connection.on("moved", ({ zone }) => heard.push(zone), where({ zone: 3 }));
  await connection.move({ zone: 2 }, { zone: 3 });
  await until(() => errors.length > 0 && heard.length > 0);
  expect(errors).toMatchObject([{ code: "message_too_big" }]);
  expect(heard).toEqual([3]);
  expect([connection.status, connection.lastError]).toEqual(["connected", null]);
});

test("a client that was refused a subscription comes back, and is told again", async () => {
  const connection = world.far().actor("world").getOrCreate(world.key).connect();
  const told: string[] = [];
  const heard: unknown[] = [];
  await connection.ready();
  const { id } = connection;
  connection.on("error", (error: any) => told.push(error.code));
  connection.on("gap", (gap) => told.push(gap.reason));
  connection.on("moved", () => {}, where({ name: "x".repeat(LIMIT) }));
  connection.on("moved", ({ zone }) => heard.push(zone), where({ zone: 3 }));
  for (const count of [1, 2]) {
    await connection.move({ zone: 2 });
    world.network.cut();
    await until(() => connection.status === "reconnecting");
    await world.near().actor("world").getOrCreate(world.key).move({ zone: 3 });
    world.network.restore();
    await connection.ready();
    await until(() => heard.length === count);
  }
  expect(told).toEqual(Array(3).fill("message_too_big"));
  expect([heard, connection.id]).toEqual([[3, 3], id]);
});

test.each(["before", "without a network"])(
  "subscriptions that are too long together fail one by one, and the others come back: %s",
  async (when) => {
    const handle = world.near().actor("feed").getOrCreate(world.key);
    const connection = world.far().actor("feed").getOrCreate(world.key).connect();
    const told: string[] = [];
    let heard = 0;
    await connection.ready();
    const { id } = connection;
    const names = Array.from({ length: 20 }, (_, count) => `${count}`.padStart(100, "x"));
    connection.on("error", (error: any) => told.push(error.code));
    connection.on("gap", (gap) => told.push(gap.reason));
    connection.on("item", () => (heard += 1));
    await connection.emit(1);
    if (when === "before") for (const name of names) connection.on(name, () => {});
    for (const count of [1, 2]) {
      world.network.cut();
      await until(() => connection.status === "reconnecting");
      if (count === 1 && when !== "before") for (const name of names) connection.on(name, () => {});
      await handle.emit(1);
      world.network.restore();
      await connection.ready();
      await until(() => heard === 1 + count);
    }
    expect(connection.id).toBe(id);
    expect(new Set(told)).toEqual(new Set(["message_too_big"]));
    expect(told.length).toBeGreaterThan(20);
    expect(told.length).toBeLessThan(3 * 20);
  },
);

test("what is too long together to connect with ends the connection, and says so", async () => {
  const connection = clumsy();
  for (let count = 0; count < 20; count += 1) connection.on(`${count}`.padStart(100, "x"), () => {});
  expect(await failure(connection.ready())).toMatchObject({ code: "message_too_big" });
  expect(connection.status).toBe("closed");
});

test.runIf(TRANSPORT === "sse")("what is too long for a proxy fails alone, and is sent once", async () => {
  const limit = 200;
  const proxy = await HttpProxy.to(world.server.url);
  proxy.refuse = (_, body) => body.length > limit && 413;
  try {
    const connection = world.near({ url: proxy.url }).actor("clumsy").getOrCreate(world.key).connect({});
    await connection.ready();
    const { id } = connection;
    const long = failure(connection.echo("x".repeat(limit)));
    expect(await Promise.all([connection.echo("before"), connection.echo("behind")])).toEqual([
      "before",
      "behind",
    ]);
    expect(await long).toMatchObject({
      code: "message_too_big",
      message: expect.stringContaining("413"),
    });
    // All three together, and that one.
    expect(proxy.refused.map((body) => JSON.parse(body).length)).toEqual([3, 4]);
    expect([connection.status, connection.id]).toEqual(["connected", id]);
    await connection.close();
  } finally {
    proxy.close();
  }
});

test.runIf(TRANSPORT === "sse")(
  "what the server finds too long fails alone, as refused by the server",
  async () => {
    // Made longer on its way, behind the client, which sends nothing that is too long.
    const longer: typeof fetch = (url, init) =>
      fetch(
        url,
        `${init?.body}`.includes("long") ? { ...init, body: `${init?.body}${" ".repeat(LIMIT)}` } : init,
      );
    const connection = world.far({ fetch: longer }).actor("world").getOrCreate(world.key).connect();
    await connection.ready();
    const { id } = connection;
    const refused = { code: "message_too_big", fromServer: true };
    const heard: unknown[] = [];
    const errors: unknown[] = [];
    connection.on("error", (error) => errors.push(error));
    connection.on("moved", ({ zone }) => heard.push(zone), where({ zone: 3 }));
    expect(await failure(connection.call("move", ["long"]))).toMatchObject(refused);
    connection.on("moved", () => {}, where({ name: "long" }));
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([refused]);
    await connection.move({ zone: 3 });
    // Nor is it in the message with which the client comes back, which would be too long as well.
    world.network.cut();
    await until(() => connection.status === "reconnecting");
    world.network.restore();
    await connection.move({ zone: 3 });
    await until(() => heard.length === 2 && errors.length === 2);
    expect(errors).toMatchObject([refused, refused]);
    expect([connection.status, connection.id]).toEqual(["connected", id]);
  },
);

test("what goes together is together no longer than that", async () => {
  const connection = clumsy();
  await connection.ready();
  const { id } = connection;
  const texts = Array.from({ length: 100 }, (_, index) => "漢".repeat(3 * index));
  expect(await Promise.all(texts.map((text) => connection.echo(text)))).toEqual(texts);
  expect([connection.status, connection.id]).toEqual(["connected", id]);
});

/** Run with a client of a server that answers what it is sent, as JSON, with what `script` returns. */
async function withScript(
  script: (message: any[], socket: WebSocket) => unknown[] | undefined,
  run: (client: Client) => Promise<void>,
): Promise<void> {
  const server = new WebSocketServer({ port: 0, handleProtocols: (names) => [...names][0] ?? false });
  await once(server, "listening");
  server.on("connection", (socket) =>
    socket.on("message", (data) => {
      const answer = script(JSON.parse(`${data}`), socket);
      if (answer) socket.send(JSON.stringify(answer));
    }),
  );
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createClient({ ...IMPATIENT, url, transport: "websocket" });
  try {
    await run(client);
  } finally {
    await client.close();
    for (const socket of server.clients) socket.terminate();
    server.close();
  }
}

/** What a server says that does not say what it takes. */
function firstAnswer(): object {
  const golden = readFileSync(new URL("../../../tests/wire/messages.json", import.meta.url), "utf8");
  const first = JSON.parse(golden).server.find(({ name }: any) => name === "connected, first time");
  return first.value[1];
}

test("a call that the server no longer takes when a session is resumed fails alone", async () => {
  const sent: unknown[] = [];
  let calls = 0;
  let limit = 2 * LIMIT;
  await withScript(
    ([kind, id, , args], socket) => {
      if (kind === "connect") {
        sent.push(id.resume?.unanswered);
        return [
          "connected",
          { ...firstAnswer(), max_message_bytes: limit, ...(id.resume && { replayed: 0 }) },
        ];
      }
      if (kind !== "call") return undefined;
      sent.push(id);
      calls += 1;
      if (limit === LIMIT) return ["reply", id, args[0].length];
      if (calls === 2) {
        limit = LIMIT;
        socket.terminate();
      }
      return undefined;
    },
    async (client) => {
      const connection = client.actor("clumsy").getOrCreate(world.key).connect();
      const long = failure(connection.length("x".repeat(LIMIT)));
      expect(await connection.length("x")).toBe(1);
      expect(await long).toMatchObject({ code: "outcome_unknown", fromServer: false });
      expect(sent).toEqual([undefined, 1, 2, [1, 2], 2]);
      expect(connection.status).toBe("connected");
    },
  );
});

test("of a server that does not say what it takes nothing is assumed", async () => {
  const answer = firstAnswer();
  expect(answer).not.toHaveProperty("max_message_bytes");
  await withScript(
    ([kind, id, , args]) => {
      if (kind === "connect") return ["connected", answer];
      return kind === "call" ? ["reply", id, args[0].length] : undefined;
    },
    async (client) => {
      const connection = client.actor("clumsy").getOrCreate(world.key).connect();
      expect(await connection.length("x".repeat(200_000))).toBe(200_000);
    },
  );
});

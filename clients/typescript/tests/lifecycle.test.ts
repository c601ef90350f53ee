/** Connecting and ending: parameters, refusals, final closes, closing and connecting again, silence. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { createClient, RingcastError } from "../src/index.js";
import { failure, IMPATIENT, recording, TRANSPORT, until, useWorld } from "./support/world.js";

const world = useWorld();
const room = (actor = "chatRoom", options = {}) => world.far(options).actor(actor).getOrCreate(world.key);

describe("parameters", () => {
  test("are given to the actor; bad ones end the connection with an error that says so", async () => {
    const connection = room("gameRoom").connect({ player_id: "ann" });
    expect(await connection.whoAmI()).toMatchObject({ params: { player_id: "ann" }, id: connection.id });
    const refused = room("gameRoom").connect({ nobody: 1 });
    expect(await failure(refused.ready())).toMatchObject({ code: "validation_error" });
    expect(refused.status).toBe("closed");
  });

  test("come from a function for every connect, also an async one", async () => {
    let asked = 0;
    const connection = room("gameRoom").connect(async () => ({ player_id: `ann ${(asked += 1)}` }));
    expect(await connection.whoAmI()).toMatchObject({ params: { player_id: "ann 1" } });
    world.network.blink();
    await until(() => asked === 2);
    expect(await connection.whoAmI()).toMatchObject({ params: { player_id: "ann 1" } });
  });

  test("whose function fails are asked for again, and the error is told", async () => {
    let asked = 0;
    const connection = room("gameRoom").connect(() => {
      asked += 1;
      if (asked < 3) throw new Error("no token yet");
      return { player_id: "ann" };
    });
    const errors: string[] = [];
    connection.on("error", (error) => errors.push(error.message));
    await connection.ready();
    expect(errors).toEqual(["no token yet", "no token yet"]);
  });

  test.each(["getOrCreate", "create"] as const)(
    "whose function fails with an error of Ringcast's are asked for again as well: %s",
    async (way) => {
      let asked = 0;
      const connection = world
        .far()
        .actor("gameRoom")
        [way](world.key)
        .connect(async () => {
          asked += 1;
          // As an actor's that gives tokens.
          if (asked < 3) throw new RingcastError("action_timeout", "no token yet", { fromServer: true });
          return { player_id: "ann" };
        });
      const errors: unknown[] = [];
      connection.on("error", (error) => errors.push(error));
      await connection.ready();
      expect(errors).toMatchObject(Array(2).fill({ code: "action_timeout", message: "no token yet" }));
      // Also what creates the actor is asked with what the third gave.
      expect(asked).toBe(3);
    },
  );

  test("that cannot be encoded are an error of connect", () => {
    expect(() => room().connect({ n: 1n })).toThrow(TypeError);
  });
});

describe("an end for good", () => {
  test("a refusal says why, and is no loop", async () => {
    const { connects, options } = recording();
    const connection = room("gameRoom", options).connect({ player_id: "banned" });
    const errors: any[] = [];
    connection.on("error", (error) => errors.push(error));
    const call = failure(connection.startGame());
    expect(await failure(connection.ready())).toMatchObject({ code: "banned", metadata: { for_days: 7 } });
    expect(await call).toMatchObject({ code: "connection_closed", cause: { code: "banned" } });
    expect(errors).toMatchObject([{ code: "banned" }]);
    expect(connects).toHaveLength(1);
    expect(await failure(connection.startGame())).toMatchObject({ code: "connection_closed" });
  });

  test("an actor that ends the connection gives its reason; streams reject with it", async () => {
    const { connects, options } = recording();
    const bob = room("gameRoom", options).connect({ player_id: "bob" });
    const heard: unknown[] = [];
    bob.on("disconnected", () => heard.push("disconnected"));
    bob.on("error", (error) => heard.push(error.message));
    await bob.ready();
    const stream = bob.stream("playerMoved");
    const ended = failure(stream.next());
    const ann = world.near().actor("gameRoom").getOrCreate(world.key).connect({ player_id: "ann" });
    await ann.kick("bob");
    await until(() => bob.status === "closed");
    expect(heard).toEqual(["disconnected", "be nice"]);
    expect(await ended).toMatchObject({ code: "connection_closed", message: "be nice" });
    expect(connects).toHaveLength(1);
  });

  test("without a WebSocket there is one clear error", async () => {
    vi.stubGlobal("WebSocket", undefined);
    const client = createClient(world.server.url);
    const connection = client.actor("chatRoom").getOrCreate(world.key).connect();
    expect((await failure(connection.ready())).message).toContain("createClient({ url, WebSocket })");
    expect(await client.actor("chatRoom").getOrCreate(world.key).call("history")).toEqual([]);
    await client.close();
  });
});

describe("closing", () => {
  test("ends the session on the server, rejects what waits, and is done once", async () => {
    const connection = room().connect();
    const heard: string[] = [];
    connection.on("disconnected", () => heard.push("disconnected"));
    await connection.ready();
    const { id } = connection;
    const handle = world.near().actor("chatRoom").getOrCreate(world.key);
    expect(await handle.call("connections")).toEqual([id]);
    await Promise.all([connection.close(), connection.close()]);
    await until(async () => (await handle.call("connections")).length === 0);
    expect(heard).toEqual(["disconnected"]);
    expect(await failure(connection.ready())).toMatchObject({ code: "connection_closed" });
    expect(await failure(connection.history())).toMatchObject({ code: "connection_closed" });
  });

  test("in the turn of connecting opens no socket: a component that is mounted twice", async () => {
    const { connects, options } = recording();
    const handle = room("chatRoom", options);
    const first = handle.connect();
    const closing = first.close();
    const second = handle.connect();
    await Promise.all([closing, second.ready()]);
    expect(connects).toHaveLength(1);
    expect([first.status, second.status]).toEqual(["closed", "connected"]);
  });

  test("while the socket is being opened, or between tries, leaves nothing behind", async () => {
    const opening = room().connect();
    await until(() => world.network.tries > 0);
    await opening.close();
    const waiting = room("chatRoom", { reconnectFirstMs: 60_000, random: () => 0.9 }).connect();
    await waiting.ready();
    world.network.cut();
    await until(() => waiting.status === "reconnecting");
    await waiting.close();
    expect([opening.status, waiting.status]).toEqual(["closed", "closed"]);
  });

  test("a client closes its connections, and makes no more", async () => {
    const client = world.far();
    const handle = client.actor("chatRoom").getOrCreate(world.key);
    const connections = [handle.connect(), handle.connect()];
    await Promise.all(connections.map((connection) => connection.ready()));
    await client.close();
    expect(connections.map((connection) => connection.status)).toEqual(["closed", "closed"]);
    expect(() => handle.connect()).toThrow("client is closed");
    expect(await failure(handle.call("history"))).toMatchObject({ code: "connection_closed" });
  });

  test("awaiting, printing or serialising a connection calls no action", async () => {
    const connection: any = room().connect();
    expect(await connection).toBe(connection);
    expect(connection.then).toBeUndefined();
    expect(JSON.stringify({ connection })).toBe('{"connection":{}}');
    expect(connection.sendMessage).toBe(connection.sendMessage);
  });
});

describe("in a page", () => {
  afterEach(() => vi.unstubAllGlobals());

  function page(): EventTarget {
    const target = new EventTarget();
    vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
    vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target));
    return target;
  }

  test("one that goes for good ends its sessions; one that is kept for later does not", async () => {
    const target = page();
    const connection = room().connect();
    await connection.ready();
    target.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true }));
    expect(connection.status).toBe("connected");
    target.dispatchEvent(new Event("pagehide"));
    expect(connection.status).toBe("closed");
  });

  test("a network that is back cuts a long wait short", async () => {
    const target = page();
    let chance = 0;
    const connection = room("chatRoom", { reconnectFirstMs: 30_000, random: () => chance }).connect();
    await connection.ready();
    chance = 0.9;
    world.network.blink();
    await until(() => connection.status === "reconnecting");
    chance = 0;
    target.dispatchEvent(new Event("online"));
    await until(() => connection.status === "connected");
  });
});

test("a client that is turned away comes when it is told to", async () => {
  const { Server } = await import("./support/server.js");
  const server = await Server.start("crowded");
  const client = createClient({ url: server.url, ...IMPATIENT, transport: TRANSPORT });
  try {
    const connections = Array.from({ length: 8 }, () =>
      client.actor("chatRoom").getOrCreate("crowd").connect(),
    );
    await Promise.all(connections.map((connection) => connection.ready()));
    expect(connections.every((connection) => connection.status === "connected")).toBe(true);
  } finally {
    await client.close();
    await server.stop();
  }
});

/** Listening: on, once, off, streams; the seed's shapes of subscribing, against a real server in both encodings. */

import { describe, expect, test } from "vitest";
import { CODECS, failure, until, useWorld } from "./support/world.js";

const world = useWorld();

describe.each(Object.entries(CODECS))("over %s", (_, codec) => {
  const connect = (params?: unknown, actor = "chatRoom") =>
    world.near({ codec }).actor(actor).getOrCreate([world.key, _]).connect(params);

  test("an event goes to everyone who listens, and the reply comes behind it", async () => {
    const [ann, bob] = [connect(), connect()];
    const heard: unknown[] = [];
    ann.on("messageReceived", (message) => heard.push(message));
    bob.on("messageReceived", (message) => heard.push(message));
    await bob.ready();
    const sent = await ann.sendMessage("ann", "hello");
    heard.push("reply");
    expect(sent).toEqual({ id: `${world.key}/0`, user_id: "ann", text: "hello" });
    await until(() => heard.length === 3);
    expect(heard.filter((item) => item !== "reply")).toEqual([sent, sent]);
    expect(heard.indexOf("reply")).toBeGreaterThan(0);
  });

  test("an event may have no argument, or several", async () => {
    const connection = connect();
    const heard: unknown[][] = [];
    connection.on("said", (...data: unknown[]) => heard.push(data));
    await connection.say();
    await connection.say("a", { b: [1, null] }, 2.5);
    expect(heard).toEqual([[], ["a", { b: [1, null] }, 2.5]]);
  });

  test("once runs once, also when events arrive in one batch, and unsubscribes", async () => {
    const connection = connect(undefined, "feed");
    const heard: number[] = [];
    connection.once("item", (item) => heard.push(item));
    await connection.emit(10);
    expect(heard).toEqual([1]);
    const again: number[] = [];
    connection.once("item", (item) => again.push(item));
    await connection.emit(1);
    expect([heard, again]).toEqual([[1], [11]]);
  });

  test("off takes a handler, every handler of a name, or every handler", async () => {
    const connection = connect();
    const heard: string[] = [];
    const first = (item: number) => heard.push(`first ${item}`);
    connection.on("said", first);
    connection.on("said", (item) => heard.push(`second ${item}`));
    connection.on("messageReceived", ({ text }) => heard.push(text));
    await connection.say(1);
    connection.off("said", first);
    await connection.say(2);
    connection.off("said");
    await connection.say(3);
    await connection.sendMessage("ann", "a message");
    connection.off();
    await connection.sendMessage("ann", "another");
    expect(heard).toEqual(["first 1", "second 1", "second 2", "a message"]);
  });

  test("on returns what ends it; a handler may end itself while it runs", async () => {
    const connection = connect(undefined, "feed");
    const heard: number[] = [];
    const stop = connection.on("item", (item) => {
      heard.push(item);
      if (item === 2) stop();
    });
    await connection.emit(5);
    expect(heard).toEqual([1, 2]);
    stop();
  });

  test("the server stops sending when the last listener has gone", async () => {
    const connection = connect(undefined, "feed");
    const stop = connection.on("item", () => {});
    await connection.emit(1);
    stop();
    await connection.add(0);
    const { offset } = connection.position;
    await connection.emit(3);
    expect(connection.position.offset).toBe(offset);
  });

  test("a name that is listened for later brings what is sent from then on", async () => {
    const connection = connect(undefined, "feed");
    await connection.emit(3);
    const heard: number[] = [];
    connection.on("item", (item) => heard.push(item));
    await connection.emit(2);
    expect(heard).toEqual([4, 5]);
  });

  test("a stream gives events in order until its loop is left", async () => {
    const connection = connect(undefined, "feed");
    const stream = connection.stream("item");
    await connection.emit(5);
    const taken: number[] = [];
    for await (const item of stream) {
      taken.push(item);
      if (taken.length === 3) break;
    }
    expect(taken).toEqual([1, 2, 3]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test("a stream ends when the connection is closed", async () => {
    const connection = connect(undefined, "feed");
    const stream = connection.stream("item");
    await connection.emit(2);
    const reading = (async () => {
      const taken: number[] = [];
      for await (const item of stream) taken.push(item);
      return taken;
    })();
    await connection.close();
    expect(await reading).toEqual([1, 2]);
  });

  test("messages to single players, to all but the sender, and by what a reader has paid for", async () => {
    const ann = connect({ player_id: "ann" }, "gameRoom");
    const bob = connect({ player_id: "bob" }, "gameRoom");
    const heard: unknown[] = [];
    const started: string[] = [];
    ann.once("gameStarted", () => started.push("ann"));
    for (const [name, player] of Object.entries({ ann, bob })) {
      player.on("playerMoved", (...args: unknown[]) => heard.push([name, "saw", ...args]));
      player.on("privateMessage", (message: unknown) => heard.push([name, "read", message]));
      await player.ready();
    }
    await ann.startGame();
    await ann.startGame();
    await ann.move(1.5, -2);
    await ann.sendPrivateMessage("bob", "psst");
    await until(() => heard.length === 2);
    expect(started).toEqual(["ann"]);
    expect(heard).toEqual([
      ["bob", "saw", "ann", { x: 1.5, y: -2 }],
      ["bob", "read", { from: "ann", text: "psst" }],
    ]);
    const free = connect({ user_id: "cat" }, "newsRoom");
    const premium = connect({ user_id: "dan", subscription: "premium" }, "newsRoom");
    const article = { category: "world", content: "..." };
    const read: string[] = [];
    free.on("newArticle", (article) => read.push(`free ${article.id}`));
    premium.on("newArticle", (article) => read.push(`premium ${article.id}`));
    await free.ready();
    await premium.publishArticle({ ...article, id: "1", level: "premium" });
    await free.publishArticle({ ...article, id: "2" });
    await until(() => read.length === 3);
    expect(read.sort()).toEqual(["free 2", "premium 1", "premium 2"]);
  });
});

test("a refused subscription reaches error listeners, and the connection stands", async () => {
  const connection = world.near().chatRoom?.getOrCreate(world.key).connect();
  const errors: any[] = [];
  connection?.on("error", (error) => errors.push(error));
  connection?.on("secret", () => {});
  await until(() => errors.length === 1);
  expect(errors[0]).toMatchObject({ code: "subscription_refused", fromServer: true });
  expect(connection?.status).toBe("connected");
});

test("what cannot be listened for is an error at once", async () => {
  const room = world.near().actor("chatRoom").getOrCreate(world.key);
  const connection = room.connect();
  expect(() => connection.on("", () => {})).toThrow(RangeError);
  expect(() => connection.on("x".repeat(129), () => {})).toThrow(RangeError);
  expect(() => connection.on("said", null as any)).toThrow(TypeError);
  expect(() => connection.stream("gap")).toThrow("lifecycle event");
  for (let index = 0; index < 256; index += 1) connection.on(`name ${index}`, () => {});
  expect(() => connection.on("one more", () => {})).toThrow("too many events");
  expect(await failure((async () => room.on("said", () => {}))())).toMatchObject({ code: "not_connected" });
});

test("a permission to listen that is withdrawn is an error, and the rest goes on", async () => {
  const connection = world.near().actor("desk").getOrCreate(world.key).connect({});
  const heard: unknown[] = [];
  connection.on("secret", (text) => heard.push(`secret ${text}`));
  connection.on("news", (text) => heard.push(text));
  connection.on("error", (error) => heard.push((error as { code?: string }).code));
  await connection.tell("one");
  await connection.makeAll("guest", "two");
  await expect(connection.closeDesk()).rejects.toMatchObject({ code: "call_refused" });
  await until(() => heard.length === 4);
  expect(heard.filter((item) => item !== "subscription_refused")).toEqual(["secret one", "one", "two"]);
  expect(heard).toContain("subscription_refused");
});

test("a handler that throws reaches error listeners and stops nothing", async () => {
  const connection = world.near().actor("feed").getOrCreate(world.key).connect();
  const heard: unknown[] = [];
  connection.on("item", (item) => {
    if (item === 1) throw new Error("first");
    heard.push(item);
  });
  connection.on("item", async (item) => {
    await null;
    if (item === 2) throw new Error("second");
  });
  connection.on("error", (error) => heard.push(error.message));
  await connection.emit(3);
  await until(() => heard.length === 4);
  expect(heard).toEqual(["first", 2, "second", 3]);
});

test("an async handler is waited for before anything later, and may make calls", async () => {
  const connection = world.near().actor("feed").getOrCreate(world.key).connect();
  const heard: string[] = [];
  connection.on("item", async (item) => {
    heard.push(`begin ${item}`);
    heard.push(`total ${await connection.add(0)}`);
    heard.push(`end ${item}`);
  });
  await connection.emit(2);
  await until(() => heard.length === 6);
  expect(heard).toEqual(["begin 1", "total 0", "end 1", "begin 2", "total 0", "end 2"]);
});

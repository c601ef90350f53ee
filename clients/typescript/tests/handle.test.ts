/** Handles: calls over HTTP, and the four ways to an actor. */

import { createServer } from "node:http";
import { expect, test } from "vitest";
import { createClient } from "../src/index.js";
import { Network } from "./support/network.js";
import { failure, useWorld } from "./support/world.js";

const world = useWorld();

test("an action of a handle is one HTTP request", async () => {
  const room = world.near().actor("chatRoom").getOrCreate(world.key);
  const message = await room.sendMessage("ann", "größe 😀");
  expect(await room.history()).toEqual([message]);
  expect(await world.near().actor("chat_room").getOrCreate([world.key]).history()).toEqual([message]);
  expect(await failure(room.deleteMessage("7"))).toMatchObject({
    code: "no_such_message",
    metadata: { id: "7" },
  });
  expect(await failure(room.sendMessage("ann"))).toMatchObject({ code: "validation_error" });
  expect(await failure(room.dance())).toMatchObject({ code: "unknown_action" });
});

test("get finds what exists, create makes what does not, both say so otherwise", async () => {
  const rooms = world.near().actor("chatRoom");
  expect(await failure(rooms.get(world.key).history())).toMatchObject({ code: "actor_not_found" });
  expect(await failure(rooms.get(world.key).connect().ready())).toMatchObject({ code: "actor_not_found" });
  const created = rooms.create(world.key, { input: ["welcome"] });
  const [history, id] = await Promise.all([created.history(), created.resolve()]);
  expect(history).toMatchObject([{ text: "welcome" }]);
  expect(created.actorId).toBe(id);
  expect(await failure(rooms.create(world.key).resolve())).toMatchObject({ code: "actor_already_exists" });
  expect(await failure(rooms.create(world.key).connect().ready())).toMatchObject({
    code: "actor_already_exists",
  });
  const connection = created.connect();
  await connection.ready();
  expect(connection.actorId).toBe(id);
  expect(await rooms.get(world.key).resolve()).toBe(id);
  expect(await rooms.getForId(id).history()).toHaveLength(1);
  expect(await failure(rooms.getForId("nobody").resolve())).toMatchObject({ code: "actor_not_found" });
  expect(await failure(world.near().actor("nobody").get().resolve())).toMatchObject({
    code: "unknown_actor",
  });
});

test("a create whose answer is lost finds what it has created, over HTTP and by connecting", async () => {
  const attempts: unknown[] = [];
  let lost = 2;
  const losing: typeof fetch = async (url, init) => {
    const response = await fetch(url, init);
    attempts.push(JSON.parse(init?.body as string).attempt);
    if (lost-- > 0) throw new TypeError("terminated");
    return response;
  };
  const rooms = world.near({ fetch: losing }).actor("chatRoom");
  const room = rooms.create(world.key, { input: ["welcome"] });
  expect(await failure(room.resolve())).toMatchObject({ code: "outcome_unknown" });
  expect(await room.connect().history()).toMatchObject([{ text: "welcome" }]);
  expect(await failure(rooms.create(world.key).resolve())).toMatchObject({ code: "actor_already_exists" });
  const [first, second, third, other] = attempts;
  expect(first).toMatch(/^[\d-]{7,128}$/);
  expect([second, third, attempts.length]).toEqual([first, first, 4]);
  expect(other).not.toBe(first);
});

test("a server that cannot be reached is told from one that did not answer", async () => {
  const gone = await Network.to({ port: 0 });
  await gone.close();
  const nobody = createClient(gone.url).actor("chatRoom").get();
  expect(await failure(nobody.history())).toMatchObject({ code: "unreachable", fromServer: false });
  world.network.cut();
  expect(await failure(world.far().actor("chatRoom").get().history())).toMatchObject({
    code: "outcome_unknown",
  });
});

test("what answers but is no Ringcast is said to be", async () => {
  const other = createServer((_, response) => response.end("<html>"));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as { port: number };
  const room = createClient(`http://127.0.0.1:${port}`).actor("chatRoom").get();
  expect(await failure(room.history())).toMatchObject({ code: "internal_error" });
  other.close();
});

test("a signal ends the waiting", async () => {
  const feed = world.near().actor("feed").getOrCreate(world.key);
  const answer = failure(feed.call("addSlowly", [1], { signal: AbortSignal.timeout(50) }));
  expect((await answer).name).toBe("TimeoutError");
  await feed.release();
});

test("a handle's parameters go with each of its calls, and with connections that are given none", async () => {
  const games = world.near().actor("gameRoom");
  const key = world.key;
  expect(await failure(games.getOrCreate(key).startGame())).toMatchObject({ code: "validation_error" });
  const banned = games.getOrCreate(key, { params: { player_id: "banned" } });
  expect(await failure(banned.startGame())).toMatchObject({ code: "banned" });

  // Who was refused has created nothing.
  const ann = { player_id: "ann" };
  expect(await failure(games.get(key, { params: ann }).startGame())).toMatchObject({
    code: "actor_not_found",
  });
  expect(await games.getOrCreate(key, { params: ann }).startGame()).toBeNull();
  let asked = 0;
  const freshly = games.get(key, { params: async () => ({ player_id: `ann ${++asked}` }) });
  const id = await freshly.resolve();
  for (const handle of [
    games.getOrCreate(key, { params: ann }),
    games.getForId(id, { params: ann }),
    freshly,
  ]) {
    expect(await handle.startGame()).toBeNull();
  }
  const created = games.create(`${key} again`, { params: ann });
  expect(await created.startGame()).toBeNull();
  expect(await created.startGame()).toBeNull();

  expect(await created.connect().whoAmI()).toMatchObject({ params: ann });
  expect(await created.connect({ player_id: "bob" }).whoAmI()).toMatchObject({
    params: { player_id: "bob" },
  });
  const before = asked;
  expect(await freshly.connect().whoAmI()).toMatchObject({ params: { player_id: `ann ${before + 1}` } });
});

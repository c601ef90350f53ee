/** A network that is gone without a word: heartbeats, and what is done when they stay out. */

import { expect, test } from "vitest";
import { recording, until, useWorld } from "./support/world.js";

const world = useWorld("lively");

test("a server of which nothing comes is given up, and what was missed comes in", async () => {
  const connection = world.far().actor("feed").getOrCreate(world.key).connect();
  const other = world.near().actor("feed").getOrCreate(world.key).connect();
  const heard: unknown[] = [];
  connection.on("item", (item) => heard.push(item));
  connection.on("disconnected", () => heard.push("disconnected"));
  await connection.ready();
  await other.ready();
  world.network.fallSilent();
  await other.emit(2);
  await until(() => heard.length === 3);
  expect(heard).toEqual(["disconnected", 1, 2]);
});

test("heartbeats move the position past events for others", async () => {
  const connection = world.far().actor("feed").getOrCreate(world.key).connect();
  await connection.emit(5);
  await until(() => connection.position.offset === 5);
});

test("a server that has nothing to say is asked, and one that answers is kept", async () => {
  const { sent, options } = recording();
  const asked = () => sent.filter(([kind]) => kind === "unsubscribe").length;
  // Less patient than the heartbeats of this server are frequent, so that only its answers count.
  const client = world.far({ ...options, askIdleMs: 20, askReplyMs: 100 });
  const connection = client.actor("feed").getOrCreate(world.key).connect();
  await connection.ready();
  const states: string[] = [];
  connection.onStatusChange((status) => states.push(status));
  await until(() => asked() >= 10);
  expect(states).toEqual([]);
});

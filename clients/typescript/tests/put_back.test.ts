/** A store that comes back as it was at an earlier moment, as from a backup. */

import { expect, test } from "vitest";
import { until, useWorld } from "./support/world.js";

const world = useWorld();

/** Return a connection to a durable actor, and what it has heard. */
function reader() {
  const connection = world.far().actor("page").getOrCreate(world.key).connect();
  const items: number[] = [];
  const told: unknown[] = [];
  connection.on("written", (number) => items.push(number));
  connection.on("gap", (gap) => told.push(gap));
  return { connection, items, told };
}

test("it is found out by what was heard or asked since, though no event is newer", async () => {
  const [listens, asks, behind] = [reader(), reader(), reader()];
  const all = [listens, asks, behind];
  const allAre = (status: string) => until(() => all.every(({ connection }) => connection.status === status));
  const writer = world.near().actor("page").getOrCreate(world.key);
  await allAre("connected");
  await writer.write(1);
  await until(() => all.every(({ items }) => items.length === 1));
  world.server.remember();
  // One comes back with a name that no request has told the server of, the other one has an answer.
  world.network.cut();
  await allAre("reconnecting");
  listens.connection.on("noted", (number) => listens.items.push(number));
  world.network.restore();
  await allAre("connected");
  await asks.connection.read();
  world.network.cut();
  await allAre("reconnecting");

  await world.server.comeBackAsItWas();
  await writer.note(2);
  world.network.restore();
  await allAre("connected");
  await writer.write(3);
  await until(() => all.every(({ items }) => items.at(-1) === 3));
  const epochChanged = { reason: "epoch_changed" };
  expect(all.map(({ told }) => told)).toEqual([[epochChanged], [epochChanged], []]);
  expect(all.map(({ items }) => items)).toEqual([
    [1, 3],
    [1, 3],
    [1, 3],
  ]);
});

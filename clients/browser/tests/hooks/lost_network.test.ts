/** A network that is lost, and a server that is killed: what was missed comes, and calls run once. */

import { LOST_NETWORK } from "../../support/complaints.js";
import { expect, test } from "../../support/stage.js";

test("what was missed comes in order and once", async ({ open, network, door, key, allowed }) => {
  allowed.push(LOST_NETWORK);
  const stage = await open();
  await stage.show({ name: "door", key }, { name: "door", key });
  await expect(stage.guests).toHaveText(["connected", "connected"]);
  await door.emit(2);
  await expect(stage.guests).toHaveText(["connected 1 2", "connected 1 2"]);
  network.cut();
  await expect(stage.guests.first()).toHaveText(/^reconnecting connection_lost 1 2$/);
  await door.emit(3);
  network.restore();
  await expect(stage.guests.first()).toHaveText("connected 1 2 3 missed 3 4 5");
  await door.emit(1);
  const all = "connected 1 2 3 missed 3 4 5 6";
  await expect(stage.guests).toHaveText([all, all]);
  expect(await door.counts()).toMatchObject({ connects: 2, here: { length: 1 }, left: [] });
});

test("a server is killed and started again: events are replayed, and a call that waited runs once", async ({
  open,
  server,
  key,
  allowed,
}) => {
  allowed.push(LOST_NETWORK);
  const [writer, reader] = [await open(), await open()];
  // A durable actor: what it has sent is kept.
  const guest = { name: "page", key, event: "written" };
  for (const stage of [writer, reader]) {
    await stage.show(guest);
    await expect(stage.guests).toHaveText("connected");
  }
  for (const number of [1, 2]) await writer.call("write", number);
  await expect(reader.guests).toHaveText("connected 1 2");
  await server.kill();
  for (const stage of [writer, reader]) await expect(stage.guests).toHaveText(/^reconnecting/);
  const waiting = writer.call("write", 3);
  await server.start();
  await waiting;
  await writer.call("write", 4);
  for (const stage of [writer, reader]) await expect(stage.guests).toHaveText(/^connected 1 2 .*3 4$/);
});

/** A network that lets no WebSocket through: the hooks go on over server-sent events, and nothing else changes. */

import { LOST_NETWORK } from "../../support/complaints.js";
import { expect, type StagePage, test } from "../../support/stage.js";

const TOLD = /^ringcast: WebSockets do not get through to \S+: using server-sent events$/;
/** What the browser writes of an upgrade that is refused. */
const REFUSED = /^WebSocket connection to '\S+' failed: Error during WebSocket handshake/;

/** Collect what a page says of its way to the server, and the streams of events that it asks for. */
function watched({ page }: StagePage) {
  const told: string[] = [];
  const streams: string[] = [];
  page.on("console", (message) => {
    if (TOLD.test(message.text())) told.push(message.text());
  });
  page.on("request", (request) => {
    if (/\/events$/.test(request.url())) streams.push(request.url());
  });
  return { told, streams };
}

test("events come, calls run and missed events are replayed without any WebSocket", async ({
  open,
  network,
  door,
  key,
  allowed,
}) => {
  allowed.push(TOLD, REFUSED, LOST_NETWORK);
  network.block = "refuse";
  const stage = await open();
  const { told, streams } = watched(stage);
  const guest = { name: "door", key };
  await stage.show(guest, guest);
  await expect(stage.guests).toHaveText(["connected", "connected"]);
  expect(network.upgrades).toBeGreaterThan(0);
  expect([told.length, streams.length]).toEqual([1, 1]);
  await stage.call("emit", 2);
  await expect(stage.guests).toHaveText(["connected 1 2", "connected 1 2"]);

  network.cut();
  await expect(stage.guests.first()).toHaveText("reconnecting connection_lost 1 2");
  await door.emit(3);
  network.restore();
  const missed = "connected 1 2 3 missed 3 4 5";
  await expect(stage.guests.first()).toHaveText(missed);
  await door.emit(1);
  await expect(stage.guests).toHaveText([`${missed} 6`, `${missed} 6`]);
  expect(await door.counts()).toMatchObject({ connects: 2, here: { length: 1 }, left: [] });
});

test("the connection ends with the last component, and with the page", async ({
  open,
  network,
  door,
  key,
  allowed,
}) => {
  allowed.push(TOLD, REFUSED);
  network.block = "refuse";
  const stage = await open();
  await stage.show({ name: "door", key });
  await expect(stage.guests).toHaveText(["connected"]);
  await stage.show();
  await expect.poll(() => door.counts()).toMatchObject({ here: [], left: { length: 1 } });
  await stage.show({ name: "door", key });
  await expect(stage.guests).toHaveText(["connected"]);
  await stage.page.goto("about:blank");
  await expect.poll(() => door.counts()).toMatchObject({ connects: 3, here: [], left: { length: 2 } });
});

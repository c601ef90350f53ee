/** A client in a worker, where there is no page: it hears events, calls actions and gets what it has missed. */

import { LOST_NETWORK } from "../support/complaints.js";
import { expect, IMPATIENT, test } from "../support/stage.js";

const NO_WEBSOCKETS = [
  /^ringcast: WebSockets do not get through to \S+: using server-sent events$/,
  /^WebSocket connection to '\S+' failed: Error during WebSocket handshake/,
];

for (const [way, block] of [
  ["WebSockets", undefined],
  ["server-sent events", "refuse"],
] as const) {
  test(`over ${way}`, async ({ open, network, door, key, allowed }) => {
    allowed.push(LOST_NETWORK, ...(block ? NO_WEBSOCKETS : []));
    if (block) network.block = block;
    const { page } = await open();
    const heard = () => page.evaluate(() => window.stage.heard);
    await page.evaluate(([key, options]) => window.stage.work(key, options), [key, IMPATIENT] as const);
    await expect.poll(heard).toEqual(["connected"]);
    await door.emit(1);
    await page.evaluate(() => window.stage.callFromWorker("emit", 1));
    await expect.poll(heard).toEqual(["connected", 1, 2]);

    network.cut();
    await expect.poll(heard).toEqual(["connected", 1, 2, "disconnected"]);
    await door.emit(2);
    network.restore();
    const before = ["connected", 1, 2, "disconnected", "reconnected", "2 missed", 3, 4];
    await expect.poll(heard).toEqual(before);
    await door.emit(1);
    await expect.poll(heard).toEqual([...before, 5]);
    expect(await page.evaluate(() => window.stage.sockets.opened)).toBe(0);
    expect(await door.counts()).toMatchObject({ connects: 2, here: { length: 1 }, left: [] });
  });
}

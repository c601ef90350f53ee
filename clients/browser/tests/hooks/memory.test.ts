/** A thousand applications that come and go leave nothing behind: no connection, no listener, no object. */

import type { CDPSession } from "@playwright/test";
import { CLOSED_EARLY } from "../../support/complaints.js";
import { expect, type StagePage, test } from "../../support/stage.js";

const WARM_UP = 100;
const MOUNTS = 1_000;
/**
 * What a browser may keep for itself, such as code that it has compiled meanwhile: it keeps no more of ten thousand
 * mounts. A mount that leaves a kilobyte behind is above it.
 */
const KEPT_BYTES = 1024 * 1024;
/** Nodes and listeners that a browser has not collected yet: a few, not some for each mount. */
const KEPT = MOUNTS / 10;

/** Mount two components and unmount them, so often; each time they connect, or go before they have. */
function churn(stage: StagePage, key: string[], count: number): Promise<void> {
  return stage.page.evaluate(
    async ([key, count]) => {
      const { stage } = window;
      const isConnected = () => document.querySelector("li")?.textContent === "connected";
      const turn = () => new Promise((resolve) => setTimeout(resolve));
      for (let number = 0; number < count; number += 1) {
        const guest = { name: "door", key, params: { number: number % 50 } };
        stage.show([guest, guest]);
        if (number % 4 === 0) while (!isConnected()) await turn();
        else if (number % 4 === 2) await turn();
        stage.unmount();
      }
      while (stage.sockets.open > 0) await turn();
    },
    [key, count] as const,
  );
}

/** Collect what is garbage, and count what is left. */
async function left({ page }: StagePage, cdp: CDPSession) {
  // React writes what it has measured into the page's own list, which grows.
  await page.evaluate(() => performance.clearMeasures());
  await cdp.send("HeapProfiler.collectGarbage");
  const { nodes, jsEventListeners } = await cdp.send("Memory.getDOMCounters");
  const { usedSize } = await cdp.send("Runtime.getHeapUsage");
  const alive = await page.evaluate(() => {
    const { connections, sockets } = window.stage;
    return { connections: connections.count(), sockets: sockets.alive.count() };
  });
  return { ...alive, nodes, listeners: jsEventListeners, bytes: usedSize };
}

test("1,000 mounts and unmounts", async ({ open, door, key, allowed }) => {
  allowed.push(CLOSED_EARLY);
  const stage = await open();
  const cdp = await stage.page.context().newCDPSession(stage.page);
  await churn(stage, key, WARM_UP);
  const before = await left(stage, cdp);
  await churn(stage, key, MOUNTS);
  // What a page has just let go of is not garbage yet.
  await expect.poll(() => left(stage, cdp)).toMatchObject({ connections: 0, sockets: 0 });
  const after = await left(stage, cdp);
  expect(after.nodes - before.nodes).toBeLessThan(KEPT);
  expect(after.listeners - before.listeners).toBeLessThan(KEPT);
  expect(after.bytes - before.bytes).toBeLessThan(KEPT_BYTES);
  expect(await stage.page.evaluate(() => window.stage.connections.made)).toBe(WARM_UP + MOUNTS);
  expect((await stage.sockets()).opened).toBeGreaterThanOrEqual((WARM_UP + MOUNTS) / 4);

  await expect.poll(async () => (await door.counts()).here).toEqual([]);
  const { connects, left: gone } = await door.counts();
  expect(gone.length).toBeGreaterThanOrEqual(MOUNTS / 4);
  expect(connects).toBe(gone.length + 1);
});

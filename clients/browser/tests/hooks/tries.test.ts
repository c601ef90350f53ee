/** How often a server is tried that is down: counted, while the test alone lets time pass. */

import { LOST_NETWORK } from "../../support/complaints.js";
import { expect, type StagePage, test } from "../../support/stage.js";

/** The delays as they are by default, each half of its bound. */
const HALF = {
  reconnectFirstMs: 500,
  reconnectBaseMs: 1_000,
  reconnectMaxMs: 30_000,
  drawn: 0.5,
  stopped: true,
};
/** Those of them that end within a minute. */
const DELAYS_MS = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
const STEP_MS = 250;

/** Let the page's clock go on, step by step: no step while a try is under way. */
async function pass(stage: StagePage, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += STEP_MS) {
    await stage.settled();
    await stage.page.clock.runFor(STEP_MS);
  }
  await stage.settled();
}

test("a server that is down is tried as the delays say, however many components wait for it", async ({
  open,
  network,
  key,
  allowed,
}) => {
  allowed.push(LOST_NETWORK);
  network.cut();
  const stage = await open(HALF);
  const guests = Array.from({ length: 10 }, () => ({ name: "door", key }));
  await stage.show(...guests);
  await pass(stage, 60_000);
  expect(await stage.sockets()).toEqual({ opened: 1 + DELAYS_MS.length, open: 0 });
  // Not fewer: a browser opens one for itself, before there is anything to ask for.
  expect(network.tries).toBeGreaterThanOrEqual(1 + DELAYS_MS.length);
  await expect(stage.guests).toHaveText(guests.map(() => "connecting connection_lost"));

  network.restore();
  await stage.page.clock.resume();
  await expect(stage.guests).toHaveText(guests.map(() => "connected"));
  expect(await stage.sockets()).toMatchObject({ opened: 2 + DELAYS_MS.length, open: 1 });
});

test("nobody tries any more once the components have gone", async ({ open, network, key, allowed }) => {
  allowed.push(LOST_NETWORK);
  network.cut();
  const stage = await open(HALF);
  await stage.show({ name: "door", key });
  await pass(stage, 1_000);
  expect(await stage.sockets()).toEqual({ opened: 3, open: 0 });
  await stage.unmount();
  await pass(stage, 60_000);
  expect(await stage.sockets()).toEqual({ opened: 3, open: 0 });
});

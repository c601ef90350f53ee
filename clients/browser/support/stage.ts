/**
 * What tests of the hooks have: a real server, a network before it that can be cut, and a page of components.
 *
 * The page comes from a directory instead of the server, under the network's own address: so it is of the server's
 * origin, and can be opened while the server is down. Its WebSockets are real.
 */

import { join } from "node:path";
import { type BrowserContext, test as base, expect, type Locator, type Page } from "@playwright/test";
import { WebSocket } from "ws";
import { type Client, createClient } from "../../typescript/src/index.js";
import { Network } from "../../typescript/tests/support/network.js";
import { Server } from "../../typescript/tests/support/server.js";
import type { Guest, StageOptions } from "../stage/stage.js";
import { STAGE } from "./build_stage.js";
import { complaintsOf } from "./complaints.js";

export { expect };

/** What `Door` of `served.py` has counted; the connection that asks is among its `connects`. */
interface Counts {
  connects: number;
  here: string[];
  left: string[];
  asked: string[];
}

/** Quick to come back, so that tests need not wait; but no quicker than a browser that has often failed. */
export const IMPATIENT = { reconnectFirstMs: 100, reconnectBaseMs: 100, reconnectMaxMs: 500 };

/** A page of components. */
export class StagePage {
  readonly page: Page;
  /** What each component shows. */
  readonly guests: Locator;

  constructor(page: Page) {
    this.page = page;
    this.guests = page.getByRole("listitem");
  }

  /** Have these components on the page, and no others. */
  show(...guests: Guest[]): Promise<void> {
    return this.page.evaluate((guests) => window.stage.show(guests), guests);
  }

  unmount(): Promise<void> {
    return this.page.evaluate(() => window.stage.unmount());
  }

  /** Call an action through the latest component. */
  call(action: string, ...args: unknown[]): Promise<unknown> {
    return this.page.evaluate(([action, args]) => window.stage.call(action, ...args), [
      action,
      args,
    ] as const);
  }

  sockets(): Promise<{ opened: number; open: number }> {
    return this.page.evaluate(() => ({
      opened: window.stage.sockets.opened,
      open: window.stage.sockets.open,
    }));
  }

  /** Wait until no try to connect is under way. */
  async settled(): Promise<void> {
    const open = () => this.page.evaluate(() => window.stage.sockets.open + window.stage.requests.open);
    await expect.poll(open, { intervals: [2] }).toBe(0);
  }

  effects(): Promise<{ begun: number; ended: number }> {
    return this.page.evaluate(() => window.stage.effects);
  }
}

interface Door {
  counts(): Promise<Counts>;
  emit(count: number): Promise<void>;
}

interface Fixtures {
  /** Between the server and every page. */
  network: Network;
  /** A key that no other test uses. */
  key: string[];
  /** A client that reaches the server directly. */
  near: Client;
  /** The actor that counts who comes and who goes, of this test's key. */
  door: Door;
  /** Open a page of components at an address, that of the network if it is not given. */
  open(options?: StageOptions & { url?: string; stopped?: boolean }): Promise<StagePage>;
  /** What a page may write to its console, in tests that take something away from it. */
  allowed: RegExp[];
}

/** Serve the page of components under an address at which something else listens, or nothing. */
async function serveStage(context: BrowserContext, url: string): Promise<string> {
  await context.route(`${url}/stage/**`, (route) => {
    const { pathname } = new URL(route.request().url());
    return route.fulfill({ path: join(STAGE, pathname.slice("/stage/".length)) });
  });
  return `${url}/stage/index.html`;
}

export const test = base.extend<Fixtures, { server: Server }>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: a fixture that needs no other says so like this
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  network: async ({ server }, use) => {
    const network = await Network.to(server);
    await use(network);
    await network.close();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  key: async ({}, use, { testId }) => use([testId]),
  near: async ({ server }, use) => {
    const client = createClient({ url: server.url, WebSocket });
    await use(client);
    await client.close();
  },
  door: async ({ near, key }, use) => {
    const connection = near.actor("door").getOrCreate(key).connect();
    await connection.ready();
    await use(connection as unknown as Door);
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  allowed: async ({}, use) => use([]),
  open: async ({ browser, network, allowed }, use) => {
    const pages: { page: Page; complaints: string[] }[] = [];
    await use(async ({ url = network.url, stopped = false, ...options } = {}) => {
      // A page that did not come over the network is not of the local one, and would have to ask somebody.
      const context = await browser.newContext({ permissions: ["local-network-access"] });
      const page = await context.newPage();
      pages.push({ page, complaints: complaintsOf(page) });
      if (stopped) await page.clock.install({ time: 0 });
      await page.goto(await serveStage(context, url));
      if (stopped) await page.clock.pauseAt(60_000);
      await page.evaluate((options) => window.stage.begin(options), { ...IMPATIENT, ...options });
      return new StagePage(page);
    });
    for (const { page, complaints } of pages) {
      expect(complaints.filter((text) => !allowed.some((pattern) => pattern.test(text)))).toEqual([]);
      await page.context().close();
    }
  },
});

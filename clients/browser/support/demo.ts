/** What tests of the demo have: a server of their own, visitors, and what is demanded of every page at the end. */

import { type BrowserContextOptions, test as base, expect } from "@playwright/test";
import { DemoServer } from "./demo_server.js";
import { Visitor } from "./visitor.js";

export { expect, type Visitor };

interface Demo {
  server: DemoServer;
  /** Open the page as somebody, in a browser context of their own; `first` runs in it before the page does. */
  visit(name: string, options?: BrowserContextOptions, first?: () => void): Promise<Visitor>;
  /** What a page may write to the console, in tests that take something away from it. */
  allowed: RegExp[];
}

export const test = base.extend<Demo>({
  // biome-ignore lint/correctness/noEmptyPattern: a fixture that needs no other says so like this
  server: async ({}, use) => {
    const server = new DemoServer();
    await server.start(20);
    await use(server);
    await server.stop();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  allowed: async ({}, use) => use([]),
  visit: async ({ browser, server, allowed }, use) => {
    const visitors: Visitor[] = [];
    await use(async (name, options, first) => {
      const context = await browser.newContext(options);
      if (first) await context.addInitScript(first);
      const visitor = await Visitor.open(context, server.url, name);
      visitors.push(visitor);
      return visitor;
    });
    for (const { page, asked, complaints } of visitors) {
      expect(complaints.filter((text) => !allowed.some((pattern) => pattern.test(text)))).toEqual([]);
      const hosts = new Set(asked.map(({ protocol, host }) => `${protocol}//${host}`));
      expect([...hosts].sort()).toEqual([server.url, server.url.replace("http", "ws")]);
      await page.context().close();
    }
  },
});

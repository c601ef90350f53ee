/** Somebody in front of the demo's page, in a browser context of their own, and what their page must never do. */

import { type BrowserContext, expect, type Locator, type Page } from "@playwright/test";
import { complaintsOf } from "./complaints.js";

export class Visitor {
  readonly name: string;
  readonly page: Page;
  /** Every address that the page has asked for, and every one that it has opened a WebSocket to. */
  readonly asked: URL[] = [];
  readonly complaints: string[];

  private constructor(name: string, page: Page) {
    this.name = name;
    this.page = page;
    page.on("request", (request) => this.asked.push(new URL(request.url())));
    page.on("websocket", (socket) => this.asked.push(new URL(socket.url())));
    this.complaints = complaintsOf(page);
  }

  /** Open the page at `url` under a name, and wait until all of its connections are there. */
  static async open(context: BrowserContext, url: string, name: string): Promise<Visitor> {
    const visitor = new Visitor(name, await context.newPage());
    await context.addInitScript((name) => sessionStorage.setItem("ringcast-demo-name", name), name);
    await visitor.page.clock.install();
    await visitor.page.goto(url);
    await visitor.connected();
    return visitor;
  }

  /** What a part of the page is called: Prices, Chat, Cursors, Slow reader. */
  part(name: string): Locator {
    return this.page.getByRole("region", { name, exact: true });
  }

  status(of: string): Locator {
    return this.page.getByRole("status", { name: `Connection to ${of}`, exact: true });
  }

  present(room = "general"): Locator {
    return this.page.getByRole("list", { name: `In ${room}` }).getByRole("listitem");
  }

  /** Who has said what, a text for each line. */
  lines(room = "general"): Locator {
    return this.page.getByRole("log", { name: `Messages in ${room}` }).getByRole("listitem");
  }

  /** What a share costs, as it is shown. */
  price(symbol: string): Promise<string | null> {
    return this.part("Prices").locator("label", { hasText: symbol }).locator(".price").textContent();
  }

  /** The month of the newest price, as it is shown. */
  until(): Locator {
    return this.part("Prices").locator(".until");
  }

  async connected(room = "general"): Promise<void> {
    for (const of of ["the ticker", room, "the field"]) await expect(this.status(of)).toHaveText("live");
  }

  async say(text: string, room = "general"): Promise<void> {
    await this.page.getByRole("textbox", { name: `Message to ${room}` }).fill(text);
    await this.part("Chat").getByRole("button", { name: "Send" }).click();
  }

  async rename(name: string): Promise<void> {
    const form = this.page.getByRole("form", { name: "Your name" });
    await form.getByRole("textbox").fill(name);
    await form.getByRole("button", { name: "Rename" }).click();
  }

  /** Let no timer of the page run from now on: what ends by itself ends when the test says so. */
  async stopTime(): Promise<void> {
    await this.page.clock.pauseAt(await this.page.evaluate(() => Date.now() + 1_000));
  }

  async letTimePass(): Promise<void> {
    await this.page.clock.resume();
  }
}

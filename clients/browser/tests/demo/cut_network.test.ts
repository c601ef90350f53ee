/** The switch that cuts the page's network: what was missed comes in afterwards, in order, and the count is right. */

import { LOST_NETWORK } from "../../support/complaints.js";
import { expect, test, type Visitor } from "../../support/demo.js";

/** What the page says, and what the browser does, where no WebSocket gets through. */
const BLOCKED = /WebSockets do not get through|^WebSocket connection to/;

const RESULT = /^(\d+) missed, (\d+) replayed in order, each exactly once\.$/;

/** Wait until a price has changed that the visitor sees. */
async function priceMoves(visitor: Visitor): Promise<void> {
  const before = await visitor.price("MSFT");
  await expect.poll(() => visitor.price("MSFT")).not.toBe(before);
}

/** Wait until all that was missed is there; return the last number before the cut, and those that were replayed. */
async function replayed(visitor: Visitor): Promise<{ before: number; numbers: number[] }> {
  const report = visitor.part("What was missed");
  const result = report.getByRole("status", { name: "Result of the cut" });
  await expect(result).toHaveText(RESULT);
  const [, missed, came] = RESULT.exec((await result.textContent()) ?? "") ?? [];
  const tape = report.getByRole("list", { name: "Replayed events, in order of arrival" });
  const numbers = (await tape.locator("li.replayed").allTextContents()).map(Number);
  expect([Number(missed), Number(came)]).toEqual([numbers.length, numbers.length]);
  const before = await report.getByText(/^#\d+$/).textContent();
  return { before: Number(before?.slice(1)), numbers };
}

test("what was missed arrives in order, counted, and what was said meanwhile is there once", async ({
  visit,
}) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  await ann.say("before");
  await expect(bob.lines()).toHaveText(["Annbefore"]);
  await priceMoves(ann);
  await ann.stopTime();
  await ann.page.getByRole("button", { name: "Cut my network" }).click();
  const restore = ann.page.getByRole("button", { name: "Restore my network" });
  await expect(restore).toHaveAttribute("aria-pressed", "true");
  await expect(ann.status("the ticker")).toHaveText("reconnecting");
  await bob.say("you miss this");
  await bob.say("and this");
  await ann.say("this waits");
  await expect(bob.lines()).toHaveText(["Annbefore", "Bobyou miss this", "Boband this"]);
  await expect(ann.lines()).toHaveText(["Annbefore", "Annwaitingthis waits"]);
  await priceMoves(bob);
  await restore.click();
  await ann.letTimePass();

  const { before, numbers } = await replayed(ann);
  expect(numbers.length).toBeGreaterThan(0);
  expect(numbers).toEqual(Array.from(numbers, (_, index) => before + 1 + index));
  await expect(ann.lines()).toHaveText([
    "Annbefore",
    "Bobreplayedyou miss this",
    "Bobreplayedand this",
    "Annthis waits",
  ]);
  await expect(bob.lines()).toHaveText(["Annbefore", "Bobyou miss this", "Boband this", "Annthis waits"]);
  // Those who were there all the time have seen nobody go.
  await expect(bob.present()).toHaveText(["Ann", "Bob"]);
  await priceMoves(ann);
});

test("what waits is sent once, whatever room and name are taken meanwhile", async ({ visit }) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  const choose = (visitor: Visitor, room: string) =>
    visitor.page.getByRole("radio", { name: room, exact: true }).check();
  await choose(bob, "quiet");
  await bob.connected("quiet");
  await bob.say("here before", "quiet");
  await choose(ann, "quiet");
  await ann.connected("quiet");
  await expect(ann.lines("quiet")).toHaveText(["Bobhere before"]);
  await ann.stopTime();
  await ann.page.getByRole("button", { name: "Cut my network" }).click();
  await expect(ann.status("quiet")).toHaveText("reconnecting");
  await ann.say("first", "quiet");
  await choose(ann, "markets");
  await expect(ann.lines("markets")).toHaveCount(0);
  await choose(ann, "quiet");
  await expect(ann.lines("quiet")).toHaveText(["Bobhere before", "Annwaitingfirst"]);
  await ann.say("second", "quiet");
  await ann.rename("Anna");
  await expect(ann.lines("quiet")).toHaveCount(0);
  await ann.page.getByRole("button", { name: "Restore my network" }).click();
  await ann.letTimePass();
  await ann.connected("quiet");
  await expect(bob.lines("quiet")).toHaveText(["Bobhere before", "Annfirst", "Annsecond"]);
  await expect(ann.lines("quiet")).toHaveText(["Bobhere before", "Annfirst", "Annsecond"]);
  // Nobody is there any more under the name of before.
  await expect(bob.present("quiet")).toHaveText(["Anna", "Bob"]);
});

test("the network comes back by itself when the time is over", async ({ visit }) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  await priceMoves(ann);
  await ann.stopTime();
  await ann.page.getByRole("radio", { name: "12 s" }).check();
  await ann.page.getByRole("button", { name: "Cut my network" }).click();
  const countdown = ann.page.getByRole("timer");
  await expect(countdown).toHaveText("back in 12 s");
  await ann.page.clock.runFor(11_000);
  await expect(countdown).toHaveText("back in 1 s");
  await expect(ann.status("the ticker")).toHaveText("reconnecting");
  await priceMoves(bob);
  await ann.page.clock.runFor(1_000);
  await expect(countdown).toHaveCount(0);
  await ann.letTimePass();
  const { before, numbers } = await replayed(ann);
  expect(numbers).toEqual(Array.from(numbers, (_, index) => before + 1 + index));
  await ann.connected();
});

/** In a page: let every upgrade go where there is none to be had. */
function blockWebSockets(): void {
  window.WebSocket = class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(String(url).replace(/connect$/, "nowhere"), protocols);
    }
  };
}

test("a page that gets no WebSocket is cut off as well, and misses nothing", async ({ visit, allowed }) => {
  allowed.push(BLOCKED, LOST_NETWORK);
  const [ann, bob] = [await visit("Ann", {}, blockWebSockets), await visit("Bob")];
  await priceMoves(ann);
  await ann.stopTime();
  await ann.page.getByRole("button", { name: "Cut my network" }).click();
  await expect(ann.status("the ticker")).toHaveText("reconnecting");
  await bob.say("you miss this");
  await ann.say("this waits");
  await expect(bob.lines()).toHaveText(["Bobyou miss this"]);
  await priceMoves(bob);
  await expect(ann.lines()).toHaveText(["Annwaitingthis waits"]);
  await ann.page.getByRole("button", { name: "Restore my network" }).click();
  await ann.letTimePass();
  const { before, numbers } = await replayed(ann);
  expect(numbers.length).toBeGreaterThan(0);
  expect(numbers).toEqual(Array.from(numbers, (_, index) => before + 1 + index));
  await expect(ann.lines()).toHaveText(["Bobreplayedyou miss this", "Annthis waits"]);
});

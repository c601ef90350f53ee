/** Everything can be done without a pointer: what follows uses the keyboard alone. */

import type { Locator } from "@playwright/test";
import { expect, test, type Visitor } from "../../support/demo.js";

/** More than there are controls. */
const MOST_TABS = 60;

/** Press Tab until the control has the focus, and see that one can see it. */
async function tabTo({ page }: Visitor, control: Locator): Promise<void> {
  for (let count = 0; count < MOST_TABS; count += 1) {
    await page.keyboard.press("Tab");
    if (await control.evaluate((element) => element === document.activeElement)) {
      const isSeen = await control.evaluate((element) => {
        // Radio buttons and switches are drawn by what stands beside or around them.
        const around = [element, element.nextElementSibling, element.parentElement];
        return around.some((each) => each && getComputedStyle(each).outlineStyle === "solid");
      });
      expect(isSeen).toBe(true);
      return;
    }
  }
  throw new Error(`Tab does not lead to ${control}`);
}

test("a visitor chats, changes the room and cuts the network with the keyboard alone", async ({ visit }) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  const { page } = ann;
  await tabTo(ann, page.getByRole("link", { name: "Skip to the prices" }));
  await page.keyboard.press("Enter");
  await expect(ann.part("Prices")).toBeFocused();

  await tabTo(ann, page.getByRole("textbox", { name: "Message to general" }));
  await page.keyboard.type("no mouse here");
  await page.keyboard.press("Enter");
  await expect(bob.lines()).toHaveText(["Annno mouse here"]);
  await page.keyboard.type("and still in the box");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await expect(bob.lines()).toHaveCount(2);

  // The head comes first again, after the last control.
  await tabTo(ann, page.getByRole("radio", { name: "general" }));
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("radio", { name: "markets" })).toBeFocused();
  await ann.connected("markets");
  await expect(ann.present("markets")).toHaveText(["Ann"]);
  await expect(bob.present()).toHaveText(["Bob"]);

  await tabTo(ann, page.getByRole("button", { name: "Cut my network" }));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Restore my network" })).toBeFocused();
  await expect(ann.status("markets")).toHaveText("reconnecting");
  await page.keyboard.press("Enter");
  await ann.connected("markets");
});

test("the arrow keys move a visitor's marker, and the list of messages can be scrolled", async ({
  visit,
}) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  const placeOf = async (visitor: Visitor) => {
    const label = await visitor.page.getByRole("img", { name: /^Ann at/ }).getAttribute("aria-label");
    return label?.match(/\d+/g)?.map(Number) ?? [];
  };
  await expect.poll(() => placeOf(ann)).not.toEqual([0, 0]);
  const [x = 0, y = 0] = await placeOf(ann);
  await tabTo(ann, ann.page.getByRole("application"));
  await ann.page.keyboard.press("ArrowRight");
  await ann.page.keyboard.press("ArrowDown");
  for (const visitor of [ann, bob]) await expect.poll(() => placeOf(visitor)).toEqual([x + 4, y + 4]);

  for (let number = 0; number < 12; number += 1) await bob.say(`line ${number}`);
  await expect(ann.lines()).toHaveCount(12);
  const list = ann.page.getByRole("log", { name: "Messages in general" }).getByRole("list");
  await tabTo(ann, list);
  await ann.page.keyboard.press("Home");
  await expect.poll(() => list.evaluate((element) => element.scrollTop)).toBe(0);
});

/** Pictures of the demo for the README, in `docs/images`: light, dark, a network that was cut, and a phone. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "@playwright/test";
import { expect, test, type Visitor } from "../support/demo.js";

const IMAGES = fileURLToPath(new URL("../../../docs/images/", import.meta.url));
const DESKTOP = { width: 1120, height: 1110 };
const PHONE = { width: 390, height: 844 };

test.beforeAll(() => void mkdirSync(IMAGES, { recursive: true }));

async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${IMAGES}${name}.png`, animations: "disabled", caret: "hide" });
}

/** Wait until the chart has come to a year; the series begins with 2000. */
async function played(visitor: Visitor, year: number): Promise<void> {
  await expect
    .poll(async () => Number((await visitor.until().textContent())?.slice(-4)))
    .toBeGreaterThanOrEqual(year);
}

async function talk(ann: Visitor, bob: Visitor): Promise<void> {
  await ann.say("Is the chart moving for you, too?");
  await bob.say("It is. Apple has had a good year.");
  await ann.say("I am going through a tunnel: cutting my network.");
  await expect(bob.lines()).toHaveCount(3);
}

async function place(visitor: Visitor, x: number, y: number): Promise<void> {
  const field = visitor.page.getByRole("application");
  const { width, height } = (await field.boundingBox()) ?? { width: 0, height: 0 };
  await field.hover({ position: { x: width * x, y: height * y } });
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`a network that was cut, ${colorScheme}`, async ({ visit }) => {
    const [ann, bob] = [
      await visit("Ann", { viewport: DESKTOP, colorScheme }),
      await visit("Bob", { viewport: DESKTOP }),
    ];
    await place(ann, 0.3, 0.4);
    await place(bob, 0.55, 0.6);
    await talk(ann, bob);
    await played(ann, 2005);
    await ann.page.getByRole("radio", { name: "12 s" }).check();
    await ann.page.getByRole("button", { name: "Cut my network" }).click();
    await bob.say("You miss this.");
    await bob.say("And the prices meanwhile.");
    await ann.say("This waits for the network.");
    if (colorScheme === "light") await picture(ann.page, "demo-cut");
    await ann.page.getByRole("button", { name: "Restore my network" }).click();
    await expect(ann.part("What was missed").getByRole("status")).toHaveText(/replayed in order/);
    await expect(ann.lines()).toHaveCount(6);
    await place(bob, 0.6, 0.3);
    await picture(ann.page, `demo-${colorScheme}`);
  });
}

test("a phone", async ({ visit }) => {
  const phone = { viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 1.5 };
  const [ann, bob] = [await visit("Ann", phone), await visit("Bob")];
  await talk(ann, bob);
  await played(ann, 2003);
  await ann.page.getByRole("banner").scrollIntoViewIfNeeded();
  await picture(ann.page, "demo-phone");
});

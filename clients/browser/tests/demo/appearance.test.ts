/** How the page looks: light and dark, as the system or the visitor wants it, and on a phone. */

import { expect, test, type Visitor } from "../../support/demo.js";

/** How light the page's ground is, from 0 to 255, and its text. */
async function lightness({ page }: Visitor): Promise<{ ground: number; text: number }> {
  const colours = await page.evaluate(() => {
    const { backgroundColor, color } = getComputedStyle(document.body);
    return [backgroundColor, color];
  });
  const [ground = Number.NaN, text = Number.NaN] = colours.map((colour) => {
    const channels = colour.match(/\d+/g)?.slice(0, 3).map(Number) ?? [];
    return channels.reduce((sum, channel) => sum + channel, 0) / channels.length;
  });
  return { ground, text };
}

async function expectLight(visitor: Visitor, light: boolean): Promise<void> {
  await expect
    .poll(async () => {
      const { ground, text } = await lightness(visitor);
      return [ground > 200, ground < 55, text > 200, text < 55];
    })
    .toEqual([light, !light, !light, light]);
}

test("it is light or dark as the system is, unless the visitor wants it otherwise", async ({ visit }) => {
  const ann = await visit("Ann", { colorScheme: "light" });
  const colours = (name: string) => ann.page.getByRole("radio", { name });
  await expectLight(ann, true);
  await colours("dark").check();
  await expectLight(ann, false);
  await ann.page.reload();
  await expect(colours("dark")).toBeChecked();
  await expectLight(ann, false);
  await ann.page.emulateMedia({ colorScheme: "dark" });
  await colours("light").check();
  await expectLight(ann, true);
  await colours("auto").check();
  await expectLight(ann, false);
  await ann.page.emulateMedia({ colorScheme: "light" });
  await expectLight(ann, true);
});

for (const isMobile of [true, false]) {
  const widths = isMobile ? [320, 390] : [768, 1280];
  test(`nothing is wider than a screen of ${widths.join(" or ")} pixels`, async ({ visit }) => {
    const ann = await visit("Ann", { isMobile, hasTouch: isMobile, viewport: { width: 390, height: 800 } });
    await ann.say("a-word-that-does-not-end-".repeat(12));
    await expect(ann.lines()).toHaveCount(1);
    await ann.page.getByRole("button", { name: "Cut my network" }).click();
    await ann.page.getByRole("button", { name: "Restore my network" }).click();
    await expect(ann.part("What was missed").getByRole("status")).toHaveText(/missed/);
    for (const width of widths) {
      await ann.page.setViewportSize({ width, height: 800 });
      await expect.poll(() => ann.page.evaluate(() => document.documentElement.clientWidth)).toBe(width);
      expect(await tooWide(ann)).toEqual([]);
      expect(await ann.page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
      for (const name of ["Prices", "Chat", "Cursors", "Slow reader"]) {
        await expect(ann.part(name)).toBeVisible();
      }
    }
  });
}

test("on the narrowest screen a whisper is sent from within its column", async ({ visit }) => {
  await visit("Bob");
  const ann = await visit("Ann", { isMobile: true, hasTouch: true, viewport: { width: 320, height: 800 } });
  const column = ann.part("Cursors");
  const send = column.getByRole("button", { name: "Send" });
  await expect(send).toBeVisible();
  const right = (of: typeof send) => of.evaluate((element) => element.getBoundingClientRect().right);
  expect(await right(send)).toBeLessThanOrEqual((await right(column.locator(".field"))) + 0.5);
});

test("a phone does not zoom in when something is written", async ({ visit }) => {
  const ann = await visit("Ann", { isMobile: true, hasTouch: true, viewport: { width: 390, height: 800 } });
  const entries = await ann.page.getByRole("textbox").all();
  expect(entries.length).toBeGreaterThanOrEqual(2);
  for (const entry of entries) {
    const size = await entry.evaluate((element) => Number.parseFloat(getComputedStyle(element).fontSize));
    expect(size).toBeGreaterThanOrEqual(16);
  }
});

/** Whatever reaches over the edges of the screen, but for what nobody sees. */
function tooWide({ page }: Visitor): Promise<string[]> {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("body *")]
      .filter((element) => element.closest(".field, .skip, svg") === null)
      .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return left < -0.5 || right > width + 0.5;
      })
      .map((element) => `${element.tagName} ${element.className}`);
  });
}

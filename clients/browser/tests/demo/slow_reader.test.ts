/** The slow reader falls behind and is told so, in both ways; nobody else waits for it. */

import { expect, test } from "../../support/demo.js";

test("a slow handler is told of a gap, and a slow stream ends with an error", async ({ visit }) => {
  const ann = await visit("Ann");
  const slow = ann.part("Slow reader");
  const said = slow.getByRole("status", { name: "Slow reader" });
  await expect(said).toHaveText(/^A connection of its own/);
  await slow.getByRole("switch", { name: "Read slowly" }).check();
  await expect(said).toHaveText("Told of a gap: handlers_behind. It reads on after it.");
  await expect(slow.getByText("Let go").locator("+ dd")).toHaveText(/^[1-9]\d*$/);

  await slow.getByRole("radio", { name: /^end/ }).check();
  await expect(said).toHaveText("The stream has ended: events_lost (not_read). Nothing was lost in silence.");
  const before = await ann.price("MSFT");
  await expect.poll(() => ann.price("MSFT")).not.toBe(before);
  await expect(ann.status("the ticker")).toHaveText("live");
  await slow.getByRole("switch", { name: "Read slowly" }).uncheck();
});

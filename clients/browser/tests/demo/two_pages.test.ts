/** Two browsers side by side see each other: who is there, what is said, where the others are, and whispers. */

import { expect, test } from "../../support/demo.js";

test("two visitors chat, and see who is there, in their room only", async ({ visit }) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  for (const visitor of [ann, bob]) await expect(visitor.present()).toHaveText(["Ann", "Bob"]);
  await ann.say("anyone here?");
  await bob.say("yes, over here");
  for (const visitor of [ann, bob]) {
    await expect(visitor.lines()).toHaveText(["Annanyone here?", "Bobyes, over here"]);
  }

  await bob.page.getByRole("radio", { name: "quiet" }).check();
  await bob.connected("quiet");
  await expect(ann.present()).toHaveText(["Ann"]);
  await ann.say("gone?");
  await expect(ann.lines()).toHaveCount(3);
  await expect(bob.lines("quiet")).toHaveCount(0);
  await bob.page.getByRole("radio", { name: "general" }).check();
  await expect(bob.lines().last()).toHaveText("Anngone?");
});

test("who closes the window is gone for the others", async ({ visit }) => {
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  await expect(ann.present()).toHaveText(["Ann", "Bob"]);
  await expect(ann.page.getByRole("img", { name: /^Bob at/ })).toHaveCount(1);
  await bob.page.close({ runBeforeUnload: true });
  await expect(ann.present()).toHaveText(["Ann"]);
  await expect(ann.page.getByRole("img", { name: /^Bob at/ })).toHaveCount(0);
});

test("cursors move for the others, and a whisper reaches one of them", async ({ visit }) => {
  const [ann, bob, cleo] = [await visit("Ann"), await visit("Bob"), await visit("Cleo")];
  const field = ann.page.getByRole("application");
  const { width, height } = (await field.boundingBox()) ?? { width: 0, height: 0 };
  await field.hover({ position: { x: width / 2, y: height / 2 } });
  for (const visitor of [ann, bob, cleo]) {
    await expect(visitor.page.getByRole("img", { name: /^Ann at (49|50|51), (49|50|51)$/ })).toHaveCount(1);
  }
  await ann
    .part("Cursors")
    .getByRole("combobox", { name: /Whisper to/ })
    .selectOption("Bob");
  await ann.page.getByRole("textbox", { name: "Private message" }).fill("to the left!");
  await ann.part("Cursors").getByRole("button", { name: "Send" }).click();
  const heard = (visitor: typeof ann) => visitor.page.getByRole("log", { name: "Private messages" });
  await expect(heard(bob)).toHaveText("from Annto the left!");
  await expect(heard(ann)).toHaveText("to Bobto the left!");
  // Behind the whisper, if there was one.
  await field.press("ArrowRight");
  await expect(cleo.page.getByRole("img", { name: /^Ann at (53|54|55), / })).toHaveCount(1);
  await expect(heard(cleo)).toHaveText("");
});

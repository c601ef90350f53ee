/** The demo's server is killed and started again while pages are open: they come back by themselves. */

import { LOST_NETWORK } from "../../support/complaints.js";
import { expect, test } from "../../support/demo.js";

test("pages come back to a server that was killed, and show what it has now", async ({
  visit,
  server,
  allowed,
}) => {
  allowed.push(LOST_NETWORK);
  const [ann, bob] = [await visit("Ann"), await visit("Bob")];
  await ann.say("nothing of this is kept");
  await expect(bob.lines()).toHaveText(["Annnothing of this is kept"]);
  await expect(ann.until()).not.toHaveText(/2000|no price yet/);

  await server.kill();
  for (const visitor of [ann, bob]) {
    for (const of of ["the ticker", "general", "the field"]) {
      await expect(visitor.status(of)).toHaveText("reconnecting");
    }
  }
  await ann.say("said to nobody yet");
  await expect(ann.lines().last()).toHaveText("Annwaitingsaid to nobody yet");

  // So slowly that it stays in the first year.
  await server.start(0.01);
  for (const visitor of [ann, bob]) {
    // Instead of waiting for its next try, which may be some seconds away.
    await visitor.page.clock.fastForward(30_000);
    await visitor.connected();
    await expect(visitor.present()).toHaveText(["Ann", "Bob"]);
    await expect(visitor.lines()).toHaveText(["Annsaid to nobody yet"]);
    await expect(visitor.until()).toHaveText(/^until \w+ 2000$/);
  }
  await expect(bob.page.getByRole("img", { name: /^Ann at/ })).toHaveCount(1);
  await bob.say("welcome back");
  await expect(ann.lines().last()).toHaveText("Bobwelcome back");
});

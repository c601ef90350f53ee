/** The page against a real server: visitors see each other, and a network that is cut loses nothing. */

import { fireEvent, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { connected, eventually, useDemo, type Visitor } from "./support/demo.js";

const open = useDemo();

const log = ({ page }: Visitor) => page.getByRole("log", { name: "Messages in general" });

function say({ page }: Visitor, text: string): void {
  const entry = page.getByRole("textbox", { name: "Message to general" });
  fireEvent.change(entry, { target: { value: text } });
  fireEvent.submit(entry.closest("form") as HTMLFormElement);
}

test("the page has all its parts, by their names, and connects", async () => {
  const ann = open("Ann");
  for (const name of ["Prices", "Chat", "Cursors", "Slow reader"]) {
    expect(ann.page.getByRole("region", { name })).toBeTruthy();
  }
  await connected(ann);
  await eventually(() => {
    expect(ann.page.getByRole("radio", { name: /MSFT \d+\.\d\d/ })).toBeTruthy();
    expect(ann.page.getByRole("img", { name: /AAPL in colour, until / })).toBeTruthy();
  });
});

test("two visitors see who is there and what is said, in their room only", async () => {
  const [ann, bob] = [open("Ann"), open("Bob")];
  await Promise.all([connected(ann), connected(bob)]);
  for (const { page } of [ann, bob]) {
    await eventually(() => {
      const names = within(page.getByRole("list", { name: "In general" })).getAllByRole("listitem");
      expect(names.map((item) => item.textContent)).toEqual(["Ann", "Bob"]);
    });
  }
  fireEvent.click(bob.page.getByRole("radio", { name: "quiet" }));
  await eventually(() => {
    const names = within(ann.page.getByRole("list", { name: "In general" })).getAllByRole("listitem");
    expect(names.map((item) => item.textContent)).toEqual(["Ann"]);
  });
  say(ann, "anyone here?");
  await eventually(() => expect(log(ann).textContent).toContain("anyone here?"));
  expect(bob.page.queryByText("anyone here?")).toBeNull();
  fireEvent.click(bob.page.getByRole("radio", { name: "general" }));
  await eventually(() => expect(log(bob).textContent).toContain("anyone here?"));
});

test("cursors move for the others, and a whisper reaches one of them", async () => {
  const [ann, bob, cleo] = [open("Ann"), open("Bob"), open("Cleo")];
  await Promise.all([ann, bob, cleo].map(connected));
  fireEvent.keyDown(ann.page.getByRole("application"), { key: "ArrowRight" });
  await eventually(() => expect(bob.page.getByRole("img", { name: "Ann at 4, 0" })).toBeTruthy());
  fireEvent.change(ann.page.getByRole("combobox", { name: /Whisper to/ }), { target: { value: "Bob" } });
  const entry = ann.page.getByRole("textbox", { name: "Private message" });
  fireEvent.change(entry, { target: { value: "to the left!" } });
  fireEvent.submit(entry.closest("form") as HTMLFormElement);
  const heard = ({ page }: Visitor) => page.getByRole("log", { name: "Private messages" }).textContent;
  await eventually(() => expect(heard(bob)).toBe("from Annto the left!"));
  // Behind the whisper, if there was one.
  fireEvent.keyDown(ann.page.getByRole("application"), { key: "ArrowRight" });
  await eventually(() => expect(cleo.page.getByRole("img", { name: "Ann at 8, 0" })).toBeTruthy());
  expect(heard(cleo)).toBe("");
});

test("a name that is taken is said, and another one comes in", async () => {
  const [ann, other] = [open("Ann"), open("Bob")];
  await Promise.all([connected(ann), connected(other)]);
  const rename = (name: string) => {
    const entry = other.page.getByRole("textbox", { name: "You are" });
    fireEvent.change(entry, { target: { value: name } });
    fireEvent.submit(entry.closest("form") as HTMLFormElement);
  };
  rename("Ann");
  await eventually(() => expect(other.page.getByRole("alert").textContent).toContain("Ann plays already"));
  rename("Cleo");
  await connected(other);
  await eventually(() => expect(ann.page.getByRole("img", { name: /^Cleo at/ })).toBeTruthy());
});

test("a cut network shows what was missed, in order, with its count", async () => {
  const [ann, bob] = [open("Ann"), open("Bob")];
  await Promise.all([connected(ann), connected(bob)]);
  await eventually(() => expect(ann.page.getByRole("radio", { name: /MSFT \d/ })).toBeTruthy());
  fireEvent.click(ann.page.getByRole("button", { name: "Cut my network" }));
  const restore = ann.page.getByRole("button", { name: "Restore my network" });
  expect(restore.getAttribute("aria-pressed")).toBe("true");
  expect(ann.page.getByRole("timer").textContent).toMatch(/back in \d s/);
  say(bob, "you miss this");
  say(ann, "this waits");
  await eventually(() => expect(log(bob).textContent).toContain("you miss this"));
  expect(log(ann).textContent).not.toContain("you miss this");
  expect(log(ann).textContent).toContain("waitingthis waits");
  fireEvent.click(restore);

  const result = () => ann.page.getByRole("status", { name: "Result of the cut" }).textContent ?? "";
  await eventually(() =>
    expect(result()).toMatch(/^\d+ missed, \d+ replayed in order, each exactly once\.$/),
  );
  const [missed, replayed] = [...result().matchAll(/\d+/g)].map(Number);
  expect(replayed).toBe(missed);
  expect(missed).toBeGreaterThan(0);
  const tape = ann.page.getByRole("list", { name: "Replayed events, in order of arrival" });
  const numbers = [...tape.querySelectorAll("li.replayed")].map((item) => Number(item.textContent));
  expect(numbers).toEqual(Array.from({ length: missed ?? 0 }, (_, index) => (numbers[0] ?? 0) + index));
  await eventually(() => {
    expect(log(ann).textContent).toContain("Bobreplayedyou miss this");
    expect(log(bob).textContent?.split("this waits")).toHaveLength(2);
    expect(log(ann).textContent).not.toContain("waitingthis waits");
  });
});

test("a slow handler is told of a gap, and a slow stream ends with an error", async () => {
  // A name of its own: who was cut off in another test may still be in the field, until its session ends.
  const ann = open("Slow Ann");
  await connected(ann);
  const slow = within(ann.page.getByRole("region", { name: "Slow reader" }));
  const said = () => slow.getByRole("status").textContent;
  fireEvent.click(slow.getByRole("switch", { name: "Read slowly" }));
  await eventually(() => expect(said()).toContain("Told of a gap: handlers_behind"));
  const letGo = slow.getByText("Let go").nextElementSibling;
  await eventually(() => expect(Number(letGo?.textContent)).toBeGreaterThan(0));
  fireEvent.click(slow.getByRole("radio", { name: /^end/ }));
  await eventually(() => expect(said()).toContain("The stream has ended: events_lost (not_read)"));
  // Nobody else waited.
  expect(ann.page.getByRole("status", { name: "Connection to the ticker" }).textContent).toBe("live");
});

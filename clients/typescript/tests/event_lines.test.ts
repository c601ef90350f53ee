/** Server-sent events out of text that comes in parts. */

import { describe, expect, test } from "vitest";
import { EventLines, type ServerSentEvent } from "../src/event_lines.js";

/** Feed `text` in parts of so many characters. */
function inParts(text: string, chars: number): ServerSentEvent[] {
  const lines = new EventLines();
  const events: ServerSentEvent[] = [];
  for (let at = 0; at < text.length; at += chars) events.push(...lines.feed(text.slice(at, at + chars)));
  return events;
}

const STREAM =
  'retry: 742\n\nid: a:1\ndata: ["a",1]\n\n: a comment\n\nevent: close\ndata:[4500,""]\n\n' +
  "data: one\ndata:  two\ndata\n\nevent: x\n\ndata: behind\n\ndata: without an end\n";
const EVENTS: ServerSentEvent[] = [
  ["message", '["a",1]'],
  ["close", '[4500,""]'],
  ["message", "one\n two\n"],
  ["message", "behind"],
];

describe.each([
  ["LF", "\n"],
  ["CRLF", "\r\n"],
  ["CR", "\r"],
])("with lines that end with %s", (_, end) => {
  test.each([1, 2, 3, 7, 1000])("in parts of %i", (chars) => {
    expect(inParts(STREAM.replaceAll("\n", end), chars)).toEqual(EVENTS);
  });
});

test("a line feed of its own behind a whole line's end is a line", () => {
  const lines = new EventLines();
  expect(["data: a\r", "\n", "\n"].flatMap((text) => lines.feed(text))).toEqual([["message", "a"]]);
});

test("a part without text changes nothing", () => {
  const lines = new EventLines();
  expect(["data: a\r", "", "\n\r\n"].flatMap((text) => lines.feed(text))).toEqual([["message", "a"]]);
});

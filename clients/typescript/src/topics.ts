/**
 * What a connection listens for: an event name, or an event name with a filter. Pure.
 *
 * On the wire the two are a string and an array. In here both are a string, the *topic*, so that what keeps track of
 * names keeps track of filters as well: one with a filter is the text of that array, made longer than any name.
 */

import type { Where } from "./filter.js";

/** A topic as messages have it. */
export type WireTopic = string | [name: string, where: Where];

/** Twice `MAX_NAME_CHARS`: each character may be two units of a string. */
const LONGEST_NAME = 256;

/** Return the topic of a name, with a filter if there is one. */
export const topicOf = (name: string, where?: Where): string =>
  where ? JSON.stringify([name, where]).padEnd(LONGEST_NAME + 1) : name;

/** Return what stands for a topic in messages. */
export const toWire = (topic: string): WireTopic => (topic[LONGEST_NAME] ? JSON.parse(topic) : topic);

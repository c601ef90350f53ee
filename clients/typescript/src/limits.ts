/** Bounds of the protocol that a client keeps: numbers alone, and no import, so that bundlers put them where they are used. */

export const MAX_NAME_CHARS = 128;
export const MAX_KEY_PARTS = 16;
/** Most topics, event names by themselves or with a filter, that one connection listens for. */
export const MAX_SUBSCRIPTIONS = 256;
/** Most characters of all of them in here: a connect message, which may have them twice, has to stay a message. */
export const MAX_TOPICS_CHARS = 17_000;
// The server keeps an answer until it is told that it has arrived: seldom enough to cost little, often enough
// to keep little there.
export const ACKNOWLEDGE_AT = 32;
export const ACKNOWLEDGE_AT_CHARS = 65_536;

/** Names that are no property of an object, taken for something else: actions, actors. */

import { isText } from "./codec.js";

/**
 * What JavaScript, test runners and developer tools ask of any object. None of them may become a call; actions of
 * these names are called by `call(name)`. No type has them as methods, and below no proxy has.
 */
export type NeverMade =
  | "then"
  | "catch"
  | "finally"
  | "toJSON"
  | "asymmetricMatch"
  | "nodeType"
  | "tagName"
  | `${"_" | "$" | "@"}${string}`;

/** Return `target` with every name that it does not have itself answered by `make`, once for each name. */
export function withNames<T extends object>(target: T, make: (name: string) => unknown): T {
  const made = new Map<string | symbol, unknown>();
  return new Proxy(target, {
    get(_, name): any {
      if (made.has(name)) return made.get(name);
      // Of the target itself, for its private fields.
      let value = (target as Record<string | symbol, unknown>)[name];
      if (!(name in target)) {
        if (
          !isText(name) ||
          /^(then|catch|finally|toJSON|asymmetricMatch|nodeType|tagName|[_$@].*)$/.test(name)
        ) {
          return undefined;
        }
        value = make(name);
      } else if (typeof value === "function" && name !== "constructor") {
        value = value.bind(target);
      } else {
        return value;
      }
      made.set(name, value);
      return value;
    },
  });
}

/** Return `target` with every other name as an action that it calls: `connection.sendMessage("hello")`. */
export function withActions<T extends { call(action: any, args: any): unknown }, R extends T>(target: T): R {
  return withNames(
    target,
    (action) =>
      (...args: unknown[]) =>
        target.call(action, args),
  ) as R;
}

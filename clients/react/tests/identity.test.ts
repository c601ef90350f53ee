/** Which keys and parameters mean the same connection. */
// @vitest-environment node

import { expect, test } from "vitest";
import { identityOf } from "../src/identity.js";

const of = (params: unknown) => identityOf("room", ["a"], params);

test("names and keys", () => {
  expect(identityOf("room", "a", undefined)).toBe(identityOf("room", ["a"], undefined));
  const different = [
    identityOf("room", [], undefined),
    identityOf("room", ["a"], undefined),
    identityOf("rooms", ["a"], undefined),
    identityOf("room", ["a", "b"], undefined),
    identityOf("room", ["a,b"], undefined),
    identityOf("room", ["b", "a"], undefined),
  ];
  expect(new Set(different).size).toBe(different.length);
});

test("parameters that are sent as the same are the same", () => {
  const date = new Date(0);
  expect(of({ a: 1, b: { c: [1], d: 2 } })).toBe(of({ b: { d: 2, c: [1] }, a: 1 }));
  expect(of({ a: 1, b: undefined })).toBe(of({ a: 1 }));
  expect(of(undefined)).toBe(of(null));
  expect(of({ at: date })).toBe(of({ at: date.toJSON() }));
  expect(of({ bytes: new Uint8Array([1, 2]) })).toBe(of({ bytes: new Uint8Array([0, 1, 2]).subarray(1) }));
  expect(of(of)).toBe(of(of));
  expect(of(JSON.parse('{"__proto__": 1}'))).toBe(of(JSON.parse('{"__proto__": 1}')));
});

test("others are not", () => {
  const different = [
    undefined,
    {},
    [],
    { a: 1 },
    { a: "1" },
    { a: 1n },
    { a: [1] },
    { a: { 0: 1 } },
    { a: new Uint8Array([1]) },
    { a: null },
    { a: Number.NaN },
    { a: Number.POSITIVE_INFINITY },
    { a: "\0bigint 1" },
    { a: "\0\0bigint 1" },
    { a: "\0number NaN" },
    { a: "\0bytes 1" },
    JSON.parse('{"__proto__": 1}'),
    () => 1,
    () => 1,
  ];
  expect(new Set(different.map(of)).size).toBe(different.length);
});

test("what contains itself is an error", () => {
  const params: { self?: unknown } = {};
  params.self = params;
  expect(() => of(params)).toThrow();
});

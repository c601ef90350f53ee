/** The snippets of `docs/react.md` compile, in order, each by itself. */
// @vitest-environment node

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const GUIDE = readFileSync(join(PACKAGE, "../../docs/react.md"), "utf8");
const BLOCKS = [...GUIDE.matchAll(/^```(tsx?)\n([\s\S]*?)^```/gm)].map(([, language, code]) => ({
  language,
  code: code as string,
}));

/** What the snippets take from an application around them. */
const AROUND = `
declare function freshToken(): Promise<string>;
declare function Form(props: { onSend(text: string): void }): null;
declare function Login(props: { message: string }): null;
declare function App(): null;
`;

test("every snippet compiles", () => {
  const directory = mkdtempSync(join(tmpdir(), "ringcast-guide-"));
  expect(BLOCKS.length).toBeGreaterThan(7);
  expect(BLOCKS[0]?.code).toContain("createRingcast<Registry>");
  for (const [index, { language, code }] of BLOCKS.entries()) {
    const name = index === 0 ? "ringcast.ts" : `snippet-${index}.${language}`;
    writeFileSync(join(directory, name), `${code}\n${index ? AROUND : ""}\nexport {};\n`);
  }
  const modules = join(PACKAGE, "node_modules");
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "ES2022",
    module: "ESNext",
    moduleResolution: "bundler",
    jsx: "react-jsx",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    types: [],
    skipLibCheck: true,
    paths: {
      "@ringcast/client": [join(PACKAGE, "../typescript/src/index.ts")],
      "@ringcast/react": [join(PACKAGE, "src/index.ts")],
      react: [join(modules, "@types/react")],
      "react/jsx-runtime": [join(modules, "@types/react/jsx-runtime")],
      "react-dom/server": [join(modules, "@types/react-dom/server")],
    },
  };
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["*.ts", "*.tsx"] }),
  );
  try {
    execFileSync(process.execPath, [join(modules, "typescript/bin/tsc"), "-p", directory], {
      encoding: "utf8",
    });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** The head of the page: what it is called, who you are, and light or dark. */

import { type FormEvent, useState } from "react";
import { LONGEST_NAME } from "./names.js";
import { ThemeSwitch } from "./theme.js";

export function Header({ name, onRename }: { name: string; onRename(name: string): void }) {
  const [draft, setDraft] = useState(name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const next = draft.trim();
    setDraft(next || name);
    if (next && next !== name) onRename(next);
  };
  return (
    <header className="head">
      <h1>
        Ringcast <span>demo</span>
      </h1>
      <form className="who" onSubmit={submit} aria-label="Your name">
        <label>
          You are
          <input
            value={draft}
            maxLength={LONGEST_NAME}
            autoComplete="off"
            onChange={(event) => setDraft(event.target.value)}
          />
        </label>
        <button type="submit" disabled={!draft.trim() || draft.trim() === name}>
          Rename
        </button>
      </form>
      <ThemeSwitch />
    </header>
  );
}

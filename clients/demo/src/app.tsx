/** The whole page: who you are, the network and its switch, and the four things to do with it. */

import { useState } from "react";
import { Chat } from "./chat.js";
import { Cursors } from "./cursors.js";
import { Header } from "./header.js";
import { rememberName } from "./names.js";
import { Prices } from "./prices.js";
import { SlowReader } from "./slow.js";

export function App({ initialName }: { initialName: string }) {
  const [name, setName] = useState(initialName);
  const rename = (next: string) => {
    rememberName(next);
    setName(next);
  };
  return (
    <>
      <a className="skip" href="#prices">
        Skip to the prices
      </a>
      <Header name={name} onRename={rename} />
      <main>
        <Prices />
        <Chat name={name} />
        <Cursors name={name} key={name} />
        <SlowReader />
      </main>
      <footer>
        <p>
          Open this page in a second window to see both sides. Every action can be tried at{" "}
          <a href="/docs">/docs</a>. Prices: monthly, 2000 to 2010, from the vega data sets.
        </p>
      </footer>
    </>
  );
}

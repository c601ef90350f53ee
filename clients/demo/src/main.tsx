/** Where the page begins: one world for it, and the application in it. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.js";
import { rememberedName } from "./names.js";
import "./styles/base.css";
import "./styles/panels.css";
import "./styles/parts.css";
import { createWorld, WorldContext } from "./world.js";

const world = createWorld({ url: window.location.origin });

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <WorldContext value={world}>
      <App initialName={rememberedName()} />
    </WorldContext>
  </StrictMode>,
);

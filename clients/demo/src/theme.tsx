/** Light or dark: as the system has it, unless somebody has chosen. */

import { useEffect, useState } from "react";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "ringcast-demo-theme";

export function ThemeSwitch() {
  const [theme, setTheme] = useState(remembered);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing: for this visit only.
    }
  }, [theme]);
  return (
    <fieldset className="choice theme">
      <legend className="unseen">Colours</legend>
      {THEMES.map((each) => (
        <label key={each}>
          <input type="radio" name="theme" checked={theme === each} onChange={() => setTheme(each)} />
          <span>{each}</span>
        </label>
      ))}
    </fieldset>
  );
}

function remembered(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto";
  }
}

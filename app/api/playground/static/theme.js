// Light or dark: as the system has it, until one is chosen.

const CHOSEN = "playground-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Apply the theme, and call `changed` whenever it becomes another. */
export function begin(button, changed) {
  apply();
  system.addEventListener("change", () => {
    apply();
    changed();
  });
  button.addEventListener("click", () => {
    localStorage.setItem(CHOSEN, isDark() ? "light" : "dark");
    apply();
    changed();
  });
}

function isDark() {
  const chosen = localStorage.getItem(CHOSEN);
  return chosen ? chosen === "dark" : system.matches;
}

function apply() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
}

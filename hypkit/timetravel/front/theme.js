// Light or dark: the host page's own word for it where it has one, else what the browser prefers.

/** The theme of the page around: "dark", "light" or "" where it does not say. */
function pageTheme() {
  const { body } = document;
  const { jpThemeLight, vscodeThemeKind, theme } = body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "false" ? "dark" : "light";
  if (vscodeThemeKind !== undefined) return vscodeThemeKind.includes("dark") ? "dark" : "light";
  const said = theme ?? document.documentElement.dataset.theme;
  return said === "dark" || said === "light" ? said : "";
}

/** Keep an element's data-theme as the page's; gives the way to stop that. */
export function followTheme(el) {
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const update = () => { el.dataset.theme = pageTheme() || (media.matches ? "dark" : "light"); };
  update();
  media.addEventListener("change", update);
  const observer = new MutationObserver(update);
  for (const node of [document.body, document.documentElement]) {
    observer.observe(node, { attributes: true,
      attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "data-theme"] });
  }
  return () => {
    media.removeEventListener("change", update);
    observer.disconnect();
  };
}

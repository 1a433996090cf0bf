// What hypkit shows asks the page for its theme as JupyterLab says it; Furo says it in its own way.
(() => {
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const tell = () => {
    const { theme } = document.body.dataset;
    const dark = theme === "dark" || (theme !== "light" && prefersDark.matches);
    document.body.dataset.jpThemeLight = String(!dark);
  };
  tell();
  prefersDark.addEventListener("change", tell);
  new MutationObserver(tell).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
  // What scrolls sideways can be reached by the keyboard.
  const reach = () => {
    for (const box of document.querySelectorAll("article pre, .cell_output, .output, .table-wrapper, .hk-scroll, .hk-predict-shown")) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls) box.tabIndex = 0;
      else if (box.getAttribute("tabindex") === "0") box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
  addEventListener("toggle", reach, true);  // a fold that opens
})();

// Before anything is drawn: the theme that was chosen, so that the page does not flash in another.
(() => {
  const order = ["auto", "light", "dark"];
  const read = () => {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto";
    }
  };
  const apply = (theme) => {
    if (theme === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = theme;
  };
  apply(read());
  window.nextTheme = () => {
    const theme = order[(order.indexOf(read()) + 1) % order.length];
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // a private window: the choice lasts as long as the page
    }
    apply(theme);
    return theme;
  };
  window.currentTheme = read;
})();

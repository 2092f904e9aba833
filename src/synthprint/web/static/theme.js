// Runs before anything is painted, so that a page of the other shade never flashes up.
(() => {
  try {
    const theme = localStorage.getItem("synthprint-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the page follows the system.
  }
})();

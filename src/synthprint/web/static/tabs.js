// Tabs as WAI-ARIA has them: arrows move, the address keeps which is open.

/** Tabs of `list`; `opened` is told the id of a panel each time it is shown. Gives a function that shows one. */
export function tabs(list, opened) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
  const show = (tab, focus) => {
    for (const one of all) {
      const on = one === tab;
      one.setAttribute("aria-selected", String(on));
      one.tabIndex = on ? 0 : -1;
      panel(one).hidden = !on;
    }
    if (focus) tab.focus();
    const hash = `#${tab.id.replace("tab-", "")}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    opened(panel(tab).id);
  };
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    show(all[(to + all.length) % all.length], true);
  });
  for (const tab of all) tab.addEventListener("click", () => show(tab, false));
  const wanted = all.find((tab) => `#${tab.id.replace("tab-", "")}` === location.hash);
  if (wanted && wanted !== all[0]) show(wanted, false);
  return (index) => show(all[index], true);
}

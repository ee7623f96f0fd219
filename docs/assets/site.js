/* Names and focus that the theme and Swagger UI leave out, for readers with a keyboard or a screen reader. */
(() => {
  const attributes = [
    [".md-search", "aria-label", "Search"],
    [".md-code__nav", "role", "presentation"],
    [".servers select", "aria-label", "Server"],
    [".servers input", "aria-label", "Address of the mock"],
  ];
  const mend = () => {
    for (const [selector, name, value] of attributes) {
      for (const element of document.querySelectorAll(`${selector}:not([${name}])`)) element.setAttribute(name, value);
    }
    // A table that scrolls can be scrolled with the keyboard.
    for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) {
      table.tabIndex = table.scrollWidth > table.clientWidth ? 0 : -1;
    }
    // A link within a button; the button does the same.
    for (const link of document.querySelectorAll(".opblock-summary-control a[href]")) link.removeAttribute("href");
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  addEventListener("resize", mend);
})();

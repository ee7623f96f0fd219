/* Names and focus that the theme and Swagger UI leave out, for readers with a keyboard or a screen reader. */
(() => {
  const mend = () => {
    for (const [selector, name, value] of [
      [".md-search", "aria-label", "Search"],
      [".md-typeset__scrollwrap, .md-typeset pre > code", "tabindex", "0"],
      [".md-code__nav", "role", "presentation"],
      [".servers select", "aria-label", "Server"],
      [".servers input", "aria-label", "Address of the mock"],
    ]) {
      for (const element of document.querySelectorAll(`:is(${selector}):not([${name}])`)) element.setAttribute(name, value);
    }
    // A link within a button; the button does the same.
    for (const link of document.querySelectorAll(".opblock-summary-control a[href]")) link.removeAttribute("href");
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
})();

/* "Try it out", bound to the mock whose address assets/mock.json gives. */
(async () => {
  const here = document.currentScript.src;
  const read = async (name) => (await fetch(new URL(name, here))).json();
  const follow = () => {
    const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
    document.documentElement.classList.toggle("dark-mode", dark);
  };
  follow();
  new MutationObserver(follow).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  const [spec, mock] = await Promise.all([read("try-it.json"), read("mock.json")]);
  spec.servers[0].variables.mock.default = mock.url;
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#try-it",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    showExtensions: true,
    validatorUrl: null,
    onComplete: () => ui.preauthorizeApiKey("bearer", "mock-token-that-opens-nothing"),
  });
})();

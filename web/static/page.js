() => {
  document.documentElement.lang = /\/zh\/?$/.test(location.pathname) ? "zh-Hans" : "en";
  const remembered = localStorage.getItem("foodcritic-theme");
  if (remembered) document.body.classList.toggle("dark", remembered === "dark");
  document.addEventListener("click", (event) => {
    if (event.target.closest("#fc-new")) document.querySelector("#fc-clear").click();
    if (!event.target.closest("#fc-theme")) return;
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("foodcritic-theme", dark ? "dark" : "light");
  });
  // Gradio labels each message with its source, tags and all: let the text speak for itself.
  const unlabel = () =>
    document.querySelectorAll("#fc-chat [data-testid][aria-label]").forEach((message) => message.removeAttribute("aria-label"));
  new MutationObserver(unlabel).observe(document.body, { childList: true, subtree: true });
}

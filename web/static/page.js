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
  const lost = document.querySelector(".fc-masthead").dataset.lost;
  const mend = () => {
    // Gradio labels each message with its source, tags and all: let the text speak for itself.
    document.querySelectorAll("#fc-chat [data-testid][aria-label]").forEach((message) => message.removeAttribute("aria-label"));
    // It says this in English alone.
    document.querySelectorAll("[data-testid=toast-text]").forEach((said) => {
      if (said.textContent.trim().startsWith("Connection to the server was lost")) said.textContent = lost;
    });
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
}

() => {
  document.documentElement.lang = /\/zh\/?$/.test(location.pathname) ? "zh-Hans" : "en";
  const remembered = localStorage.getItem("foodcritic-theme");
  if (remembered) document.body.classList.toggle("dark", remembered === "dark");
  document.addEventListener("click", (event) => {
    const fix = event.target.closest(".fc-fix");
    if (fix) {
      const place = [...document.querySelectorAll("#fc-chat .bot-row")].indexOf(answerOf(fix.closest(".message-buttons")));
      document.querySelector("#fc-fix-bell").dispatchEvent(new CustomEvent("fix", { detail: { place } }));
    }
    if (event.target.closest("#fc-new")) document.querySelector("#fc-clear").click();
    if (!event.target.closest("#fc-theme")) return;
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("foodcritic-theme", dark ? "dark" : "light");
  });
  document.addEventListener("keydown", (event) => {
    // Not while an input method composes: there it takes back what is being typed.
    if (event.key === "Escape" && !event.isComposing) document.querySelector("#fc-fix:not(.hide) #fc-fix-leave")?.click();
  });
  const { said, labels, fix } = document.querySelector(".fc-masthead").dataset;
  const ours = Object.entries(JSON.parse(said));
  const named = new Map(Object.entries(JSON.parse(labels)));
  const answerOf = (bar) => bar.previousElementSibling;
  const pencil = '<svg viewBox="0 0 24 24" width="100%" height="100%" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" aria-hidden="true"><path d="M4 20l1-4.5L16.5 4a1.8 1.8 0 0 1 2.5 0l1 1a1.8 1.8 0 0 1 0 2.5L8.5 19z M14.5 6l3.5 3.5"/></svg>';
  // A pencil beside the thumbs of each whole answer; Gradio's own would edit its HTML.
  const pencils = () => {
    document.querySelectorAll("#fc-chat .message-buttons-left").forEach((bar) => {
      const there = bar.querySelector(".fc-fix");
      const whole = answerOf(bar)?.matches(":has(.fc-whole)");
      if (!whole) there?.remove();
      const like = whole && !there && [...bar.querySelectorAll(".icon-button")].pop();
      if (!like) return;
      const button = like.cloneNode();
      button.classList.add("fc-fix");
      button.title = fix;
      button.setAttribute("aria-label", fix);
      const icon = like.querySelector("div").cloneNode();
      icon.innerHTML = pencil;
      button.append(icon);
      like.after(button);
    });
  };
  // The conversation is the browser's, not the tab's: where another has more of it, or less, look again.
  const tabs = new BroadcastChannel("foodcritic");
  const rows = () => document.querySelectorAll("#fc-chat .message-row").length;
  let told = 0;
  tabs.onmessage = ({ data }) => {
    if (data === "gone") location.reload(); // everything is deleted, and this visitor with it
    else if (data !== rows()) document.querySelector("#fc-look").click();
  };
  const tell = () => {
    if (rows() !== told) tabs.postMessage((told = rows()));
  };
  const mend = () => {
    pencils();
    tell();
    // Gradio labels each message with its source, tags and all: let the text speak for itself.
    document.querySelectorAll("#fc-chat [data-testid][aria-label]").forEach((message) => message.removeAttribute("aria-label"));
    // What it says, and calls its buttons, in English alone.
    document.querySelectorAll("[data-testid=toast-text]").forEach((toast) => {
      const [, text] = ours.find(([theirs]) => toast.textContent.trim().startsWith(theirs)) ?? [];
      if (text) toast.textContent = text;
    });
    for (const name of ["aria-label", "title"]) {
      document.querySelectorAll(`[${name}]`).forEach((part) => {
        const label = named.get(part.getAttribute(name));
        if (label) part.setAttribute(name, label);
      });
    }
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
}

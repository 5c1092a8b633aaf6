element.addEventListener("click", (event) => {
  const plate = event.target.closest("[data-sample]");
  if (!plate) return;
  trigger("click", { sample: plate.dataset.sample });
  // On a phone the plates are below the conversation: there the answer comes.
  document.querySelector("#fc-talk").scrollIntoView({ block: "nearest" });
});

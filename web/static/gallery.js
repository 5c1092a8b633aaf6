element.addEventListener("click", (event) => {
  const plate = event.target.closest("[data-sample]");
  if (plate) trigger("click", { sample: plate.dataset.sample });
});

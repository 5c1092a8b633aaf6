() => {
  document.documentElement.lang = location.pathname.includes("/zh") ? "zh-Hans" : "en";
  const remembered = localStorage.getItem("foodcritic-theme");
  if (remembered) document.body.classList.toggle("dark", remembered === "dark");
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#fc-theme")) return;
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("foodcritic-theme", dark ? "dark" : "light");
  });
}

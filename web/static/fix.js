element.closest("#fc-fix-bell").addEventListener("fix", (event) => trigger("click", { place: event.detail.place }));

// A separate style sheet hides filtered optimizers and sections, in tables and figures alike.
const boxes = all(".bar input"), choice = one("#section");
function filter() {
  const hidden = boxes.filter(box => !box.checked).map(box => `[data-o="${box.value}"]`);
  if (choice.value) hidden.push(`[data-g]:not([data-g="${choice.value}"])`);
  one("#filter").textContent = hidden.length ? `:is(${hidden.join()}):not(.bar *){display:none!important}` : "";
}
one(".bar").addEventListener("change", filter);
one(".bar").addEventListener("submit", event => event.preventDefault());
filter();

// Open or close all parts.
const parts = all("details:not(.runs)"), opener = one("#all");
opener.addEventListener("click", () => {
  const wanted = opener.getAttribute("aria-pressed") !== "true";
  for (const each of parts) each.open = wanted;
  opener.setAttribute("aria-pressed", String(wanted));
  opener.textContent = wanted ? "Close all" : "Open all";
});

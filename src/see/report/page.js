"use strict";
// Tables are sorted by a click on the head of a column: first in one direction, then in the other.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("number");
      const upward = head.getAttribute("aria-sort") === (numbers ? "descending" : "none");
      const value = (row) => {
        const cell = row.cells[column];
        return numbers ? Number(cell.dataset.value ?? -1) : cell.textContent;
      };
      const compare = numbers ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (upward ? compare(a, b) : compare(b, a)));
      table.tBodies[0].append(...rows);
      heads.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", upward ? "ascending" : "descending");
    });
  });
}
// A link to a kernel opens it.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", reveal);
reveal();
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#kernel']");
  if (link && link.hash === location.hash) reveal();
});
// What the picture of memory shows is also told below it, for those who tap.
const told = document.getElementById("told");
for (const name of ["pointerover", "click", "focusin"]) {
  document.querySelector(".memory svg")?.addEventListener(name, (event) => {
    const title = event.target.closest(".held")?.querySelector("title");
    if (title) told.textContent = title.textContent;
  });
}

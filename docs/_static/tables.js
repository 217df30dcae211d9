// A table that is wider than the page becomes a list of its rows, each cell below its heading, so
// that nothing is cut off on a phone. Without scripts it can still be scrolled sideways.
function fold() {
  for (const table of document.querySelectorAll("article table")) {
    table.classList.remove("folded");
    const headings = [...table.querySelectorAll("thead th")].map((cell) => cell.innerHTML);
    const room = table.parentElement.clientWidth;
    if (!headings.length || table.scrollWidth <= room + 1) continue;
    table.classList.add("folded");
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, i) => {
        if (cell.querySelector(":scope > .heading") || i === 0 || !headings[i]) return;
        const heading = document.createElement("span");
        heading.className = "heading";
        heading.innerHTML = headings[i];
        cell.prepend(heading);
      });
    }
  }
}
addEventListener("DOMContentLoaded", fold);
addEventListener("resize", fold);
document.addEventListener("toggle", fold, true); // what stands in <details> has no width before
document.fonts.ready.then(fold);

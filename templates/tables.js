"use strict";
// A link into a folded table opens it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target && target.closest("details");
  if (fold) { fold.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();
// Sorting and filtering for tables that are whole without them.
for (const table of document.querySelectorAll("table[data-tools]")) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  if (original.length < 4) continue;
  const key = (row, index) => {
    const cell = row.cells[index];
    return (cell.dataset.sort || cell.textContent).trim();
  };
  const number = (text) => {
    const found = text.replace(/\u2212/g, "-").replace(/,/g, "").match(/^-?\d+(\.\d+)?(e-?\d+)?/i);
    return found ? Number(found[0]) : null;
  };
  Array.from(table.tHead.rows[0].cells).forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.append(head.firstChild);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = original.slice().sort((a, b) => {
        const x = key(a, index), y = key(b, index), m = number(x), n = number(y);
        // Rows without a number stay last, whichever way the rest goes.
        if (m === null !== (n === null)) return m === null ? 1 : -1;
        const order = m !== null ? m - n : x.localeCompare(y, "en");
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
  if (original.length < 12) continue;
  const label = document.createElement("label");
  label.className = "filter";
  label.append("Filter rows ");
  const input = document.createElement("input");
  input.type = "search";
  label.append(input);
  table.before(label);
  input.addEventListener("input", () => {
    const sought = input.value.toLowerCase();
    for (const row of original) row.hidden = !row.textContent.toLowerCase().includes(sought);
  });
}

// Sorting and filtering of tables, and the charts. No page needs more, so no framework.

const collator = new Intl.Collator("en", { numeric: true });

// A cell's number, or its text; null for what has none, which comes last either way.
function key(row, column) {
  const cell = row.cells[column];
  if (!("value" in cell.dataset)) return cell.textContent;
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
}

function sort(table, head) {
  const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [key(row, head.cellIndex), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : collator.compare(a, b));
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    if (event.target.closest("button")) sort(table, event.target.closest("th"));
  });
}

// Every word has to be somewhere in a row.
for (const input of document.querySelectorAll(".filter input")) {
  const box = input.closest(".table");
  const rows = [...box.querySelectorAll("tbody tr")];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    box.querySelector("output").textContent = `${left} of ${rows.length}`;
  });
}

// Expressions are interpreted (ast), since the page's policy forbids making code from text.
const charts = JSON.parse(document.getElementById("charts").textContent);
for (const view of document.querySelectorAll("[data-chart]")) {
  await window.vegaEmbed(view, charts[view.dataset.chart], {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true,
    tooltip: { disableDefaultStyle: true },
  });
}
document.documentElement.dataset.ready = "yes";

// Makes the page's tables sortable and filterable, and draws the long one. All else is there without it.
const element = (id) => document.getElementById(id)
const data = (id) => JSON.parse(element(id).textContent)
const packed = Uint8Array.from(atob(element("library").textContent), (character) => character.charCodeAt(0))
const unpacked = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")))
const library = new Blob([await unpacked.text()], { type: "text/javascript" })
const { default: DataTable } = await import(URL.createObjectURL(library))
const rowsAPage = 50

// "−24.21" as a number; what is none comes after all numbers.
const number = (text) => {
  const value = parseFloat(text.replace("−", "-"))
  return Number.isNaN(value) ? Infinity : value
}
// What the table shows is read as HTML, so that text has to be made into it.
const shown = (text) => Object.assign(document.createElement("span"), { textContent: text }).innerHTML
const mlflow = data("mlflow")
const linked = (run) => {
  if (!Object.hasOwn(mlflow.runs ?? {}, run)) return shown(run)
  const href = `${mlflow.experiment}/runs/${encodeURIComponent(mlflow.runs[run])}`
  return Object.assign(document.createElement("a"), { href, textContent: run }).outerHTML
}
const column = (heading, index) => {
  if (index === 0) return { className: "first", render: { _: (run) => run, display: linked } }
  if (heading.className !== "number") return { render: { _: (text) => text, display: shown } }
  return { className: "number", type: "num", render: { _: (text) => text, display: shown, sort: number } }
}

// Columns of one family at a time, those of none always.
const show = (live, family) => {
  live.columns().every(function () {
    const own = this.header().dataset.family
    this.visible(!own || own === family, false)
  })
  live.columns.adjust()
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = table.dataset.rows ? data(table.dataset.rows) : null
  const live = new DataTable(table, {
    ...(rows && { data: rows, columns: [...table.tHead.rows[0].cells].map(column) }),
    order: [],
    autoWidth: false,
    lengthChange: false,
    paging: (rows ?? table.tBodies[0].rows).length > rowsAPage,
    pageLength: rowsAPage,
    language: { search: "Filter rows:", info: "_TOTAL_ rows", infoFiltered: "of _MAX_", infoEmpty: "no rows" },
  })
  for (const choice of document.getElementsByName(table.id.replace("-table", "-family"))) {
    choice.addEventListener("change", () => show(live, choice.value))
    if (choice.checked) show(live, choice.value)
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(element(button.dataset.copies).innerText)
    button.textContent = "Copied"
  })
}
document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches)
document.documentElement.classList.add("live")

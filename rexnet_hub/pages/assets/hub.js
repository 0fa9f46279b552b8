/* The overview: filters, sorting, comparing, all kept in the address; the table is the page's own. */
window.RexnetHub = window.RexnetHub || {};
(function (hub) {
  "use strict";
  const make = hub.make;
  const COSTS = [
    { key: "macs", name: "MACs", label: "MACs (G)", unit: 1e9, unitName: "G" },
    { key: "flops", name: "FLOPs as published", label: "FLOPs as published (G)", unit: 1e9, unitName: "G" },
    { key: "parameters", name: "parameters", label: "Parameters (M)", unit: 1e6, unitName: "M" },
    { key: "file_size", name: "file size", label: "File size (MB)", unit: 1e6, unitName: "MB" },
  ];
  const LIMITS = [
    { param: "min_top1", label: "Top-1 at least (%)", key: "top1", unit: 1, least: true },
    { param: "max_params", label: "Parameters at most (M)", key: "parameters", unit: 1e6 },
    { param: "max_macs", label: "MACs at most (G)", key: "macs", unit: 1e9 },
    { param: "max_flops", label: "FLOPs at most (G)", key: "flops", unit: 1e9 },
    { param: "max_size", label: "File at most (MB)", key: "file_size", unit: 1e6 },
  ];
  /* So many rows are laid out within a frame or two; a thousand take ten times as long. */
  const ROWS_A_FRAME = 40;
  const LOWER_IS_BETTER = new Set(["parameters", "macs", "flops", "file_size"]);

  /* What models say stands once for all that say it, as pack() of site.py writes it. */
  function unpack(columns, count) {
    const models = Array.from({ length: count }, () => ({ number: Object.create(null), text: Object.create(null) }));
    for (const [dotted, [values, numbers]] of Object.entries(columns)) {
      const [group, ...key] = dotted.split(".");
      models.forEach((model, index) => {
        const at = numbers ? numbers[index] : values.length === 1 ? 0 : index;
        if (at < 0) return;
        if (key.length) model[group][key.join(".")] = values[at];
        else model[group] = values[at];
      });
    }
    return models;
  }

  class Overview {
    constructor(root) {
      this.root = root;
      const data = JSON.parse(root.dataset.models);
      this.names = data.names;
      this.columns = data.columns;
      this.table = root.closest("article, main, body").querySelector("table");
      const rows = [...this.table.tBodies[0].rows];
      this.models = unpack(data.models, rows.length).map((model, index) => this.readRow(model, rows[index]));
      const speeds = data.speeds.map((label, index) => ({
        key: `speed${index}`, name: "images per second", label: `Images per second${label && ": "}${label}`, unit: 1, unitName: "", isMoreBetter: true,
      }));
      this.costs = [...COSTS, ...speeds].filter(({ key }) => this.models.some(({ number }) => key in number && "top1" in number));
      this.limits = LIMITS.filter((limit) => this.models.some((model) => limit.key in model.number));
      this.choices = Object.entries(data.choices).map(([key, label]) => ({ key, label, counts: this.countValues(key) }))
        .filter(({ counts }) => [...counts.values()].some((count) => count < this.models.length));
      this.controls = this.makeControls();
      this.chart = new hub.Chart(this.models, (models) => this.zoom(models));
      this.comparison = make("section", { className: "hub-compare", hidden: true, "aria-label": "Compare" });
      this.jump = make("button", { type: "button", className: "hub-button hub-jump", hidden: true });
      this.jump.addEventListener("click", () => this.comparison.scrollIntoView());
      this.said = make("span", { className: "hub-said", role: "status" });
      root.replaceChildren(this.controls, this.chart.element, this.comparison, this.jump, this.said);
      this.prepareTable();
      this.sorted = "";
      this.readAddress();
      this.apply();
    }

    readRow(model, row) {
      const link = row.querySelector("a"), cell = row.cells[0];
      model.row = row;
      model.url = link ? link.getAttribute("href") : "#";
      model.shown = Object.fromEntries(this.columns.map((column, index) => [column.key, row.cells[index].textContent.trim()]));
      model.lower = model.name.toLowerCase();
      model.box = make("input", { type: "checkbox", "aria-label": `Compare ${model.name}` });
      model.box.addEventListener("change", () => this.stayAt(model.box, () => this.changed()));
      row.hidden = true;
      row.dress = () => {
        row.dress = () => {};
        cell.prepend(model.box);
        if (navigator.clipboard && model.loads) cell.append(this.makeCopy(model.name));
      };
      return model;
    }

    /* What models say of one thing, and how many say it. */
    countValues(key) {
      const counts = new Map();
      for (const model of this.models) for (const value of new Set(model.text[key])) counts.set(value, (counts.get(value) || 0) + 1);
      return counts;
    }

    makeChoice({ counts }) {
      const values = [...counts.keys()].sort((a, b) => a.localeCompare(b));
      return make("select", {}, make("option", { value: "" }, "all"),
        ...values.map((value) => make("option", { value }, `${value} (${counts.get(value)})`)));
    }

    makeCopy(name) {
      const button = make("button", { type: "button", className: "hub-copy", title: "Copy the lines that load it" }, "copy");
      button.setAttribute("aria-label", `Copy the lines that load ${name}`);
      button.addEventListener("click", async () => {
        const lines = ["from rexnet_hub import AutoModel", `model = AutoModel.from_pretrained(${JSON.stringify(name)})`];
        await navigator.clipboard.writeText(`${lines.join("\n")}\n`);
        button.textContent = "copied";
        this.said.textContent = `Copied the lines that load ${name}`;
        setTimeout(() => { button.textContent = "copy"; this.said.textContent = ""; }, 1500);
      });
      return button;
    }

    /* Each control by the name that the address knows it by. */
    makeControls() {
      const field = (label, input, className = "") => make("label", { className }, make("span", {}, label), input);
      const number = () => make("input", { type: "number", min: "0", step: "any", inputMode: "decimal" });
      this.inputs = { name: make("input", { type: "search", autocomplete: "off", spellcheck: false }) };
      for (const choice of this.choices) this.inputs[choice.key] = this.makeChoice(choice);
      for (const limit of this.limits) this.inputs[limit.param] = number();
      this.inputs.query = make("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "top1>=79 params<10M" });
      this.inputs.within = make("input", { hidden: true });
      this.inputs.cost = make("select", {}, ...this.costs.map((cost) => make("option", { value: cost.key }, cost.label)));
      this.complaint = make("p", { className: "hub-complaint", role: "alert", hidden: true });
      this.count = make("output", { className: "hub-count" });
      const reset = make("button", { type: "reset", className: "hub-button" }, "Clear");
      this.zoomOut = make("button", { type: "button", className: "hub-button" }, "Zoom out");
      this.zoomOut.addEventListener("click", () => {
        this.inputs.within.value = "";
        this.changed();
        this.chart.stop.focus({ preventScroll: true });
      });
      const narrow = make("details", { className: "hub-limits", open: innerWidth >= 720 }, make("summary", {}, "Limits and query"),
        make("div", { className: "hub-fields" }, ...this.limits.map((limit) => field(limit.label, this.inputs[limit.param])),
          field("Query", this.inputs.query, "hub-wide")), this.complaint);
      const form = make("form", { className: "hub-controls", "aria-label": "Choose models" },
        make("div", { className: "hub-fields" }, field("Name contains", this.inputs.name),
          ...(this.costs.length ? [field(this.costs.some((cost) => cost.isMoreBetter) ? "Cost or speed axis" : "Cost axis", this.inputs.cost)] : []),
          ...this.choices.map((choice) => field(choice.label, this.inputs[choice.key]))),
        narrow, make("div", { className: "hub-answer" }, this.count, this.zoomOut, reset), this.inputs.within);
      form.addEventListener("input", () => this.changed());
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("reset", () => setTimeout(() => {
        for (const model of this.models) model.box.checked = false;
        this.sort = "";
        this.changed();
      }));
      return form;
    }

    prepareTable() {
      this.table.dataset.hub = "models";
      this.headers = this.columns.map((column, index) => {
        const header = this.table.tHead.rows[0].cells[index];
        const button = make("button", { type: "button", className: "hub-sort" }, ...header.childNodes);
        button.addEventListener("click", () => {
          const first = column.text ? column.key : `-${column.key}`, second = column.text ? `-${column.key}` : column.key;
          this.sort = this.sort === first ? second : first;
          this.changed();
        });
        header.replaceChildren(button);
        return header;
      });
      const box = this.table.closest(".md-typeset__scrollwrap") || this.table.parentElement;
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Table of models");
    }

    /* The address says everything that was chosen; what it says is only ever text and numbers. */
    readAddress() {
      const said = new URLSearchParams(location.search);
      for (const [name, input] of Object.entries(this.inputs)) {
        if (said.has(name)) input.value = said.get(name);
        if (input.selectedIndex < 0) input.selectedIndex = 0;
      }
      if (Object.keys(this.inputs).some((name) => name !== "name" && name !== "cost" && this.inputs[name].value))
        this.controls.querySelector("details").open = true;
      const sort = said.get("sort") || "";
      this.sort = this.columns.some((column) => column.key === sort.replace(/^-/, "")) ? sort : "";
      const compared = new Set((said.get("compare") || "").split(","));
      for (const model of this.models) model.box.checked = compared.has(model.name);
    }

    writeAddress() {
      const said = new URLSearchParams();
      for (const [name, input] of Object.entries(this.inputs)) {
        if (input.value && !(name === "cost" && input.value === this.costs[0].key)) said.set(name, input.value);
      }
      if (this.sort) said.set("sort", this.sort);
      const compared = this.models.filter((model) => model.box.checked).map((model) => model.name);
      if (compared.length) said.set("compare", compared.join(","));
      const words = said.toString();
      history.replaceState(history.state, "", (words ? `?${words}` : location.pathname) + location.hash);
    }

    /* Leaves the models of a part of the chart: by cost and accuracy, from least to most of these. */
    zoom(models) {
      const keys = [this.chart.cost.key, "top1"];
      this.inputs.within.value = keys.map((key) => [key, ...hub.extremes(models, key)].join(":")).join(" ");
      this.changed();
    }

    /* What the reader has a finger on does not move while what is above it grows or shrinks. */
    stayAt(element, act) {
      const before = element.getBoundingClientRect().top;
      act();
      scrollBy({ top: element.getBoundingClientRect().top - before, behavior: "instant" });
    }

    changed() {
      this.apply();
      clearTimeout(this.writing);
      this.writing = setTimeout(() => this.root.isConnected && this.writeAddress(), 120);
    }

    /* Shows what meets all that was chosen. */
    apply() {
      const meets = this.readQuery(), part = this.inputs.name.value.trim().toLowerCase();
      const chosen = this.choices.map(({ key }) => [key, this.inputs[key].value]).filter(([, value]) => value);
      const limits = this.limits.filter((limit) => this.inputs[limit.param].value !== "")
        .map((limit) => ({ ...limit, bound: Number(`${this.inputs[limit.param].value}e${Math.log10(limit.unit)}`) }));
      const within = [...this.inputs.within.value.matchAll(/(\w+):([\d.e+-]+):([\d.e+-]+)/g)].map(([, key, ...ends]) => [key, ...ends.map(Number)]);
      this.zoomOut.hidden = !within.length;
      const visible = new Set(this.models.filter((model) => model.lower.includes(part) && meets(model) === true &&
        chosen.every(([key, value]) => (model.text[key] || []).includes(value)) &&
        within.every(([key, least, most]) => model.number[key] >= least && model.number[key] <= most) &&
        limits.every(({ key, bound, least }) => key in model.number && (least ? model.number[key] >= bound : model.number[key] <= bound))));
      this.count.textContent = visible.size ? `${visible.size} of ${this.models.length} models` : "No model meets all of this";
      this.sortRows();
      const later = this.showRows(new Set([...visible].map((model) => model.row)));
      const cost = this.costs.find((each) => each.key === this.inputs.cost.value) || this.costs[0];
      this.chart.element.hidden = !cost;
      if (cost) {
        if (this.chart.cost !== cost) this.chart.show(visible, cost);
        else later.unshift(() => this.chart.show(visible, cost));
      }
      this.runInFrames(later);
      this.compare();
    }

    /* Hides rows at once, and shows those that a screen holds; gives what shows the others, a slice each. */
    showRows(wanted) {
      const late = [];
      for (const row of this.table.tBodies[0].rows) {
        if (!wanted.has(row)) row.hidden = true;
        else if (row.hidden) late.push(row);
      }
      const slices = [];
      while (late.length) slices.push(late.splice(0, ROWS_A_FRAME));
      const [first, ...others] = slices.map((rows) => () => {
        for (const row of rows) {
          row.dress();
          row.hidden = false;
        }
      });
      if (first) first();
      return others;
    }

    /* Takes one step a frame, so that a key press is answered in between; an earlier answer's steps are dropped. */
    runInFrames(steps) {
      cancelAnimationFrame(this.frame);
      const next = () => {
        steps.shift()();
        if (steps.length) this.frame = requestAnimationFrame(next);
      };
      if (steps.length) this.frame = requestAnimationFrame(next);
    }

    readQuery() {
      try {
        this.complaint.hidden = true;
        return hub.parseQuery(this.inputs.query.value, this.names, this.models);
      } catch (error) {
        if (!(error instanceof hub.QueryError)) throw error;
        this.complaint.textContent = `At character ${error.place + 1}: ${error.message}.`;
        this.complaint.hidden = false;
        return () => true;
      }
    }

    sortRows() {
      if (this.sorted === this.sort) return;
      this.sorted = this.sort;
      const key = this.sort.replace(/^-/, ""), sign = this.sort.startsWith("-") ? -1 : 1;
      const column = this.columns.find((each) => each.key === key);
      const value = (model) => (!column ? undefined : column.text ? model.text[key] && model.text[key][0] : model.number[key]);
      const order = this.models.map((model, index) => ({ model, index, value: value(model) }));
      order.sort((a, b) => {
        if (a.value === undefined || b.value === undefined)
          return (a.value === undefined) - (b.value === undefined) || a.index - b.index;
        return sign * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0) || a.index - b.index;
      });
      for (const { row } of this.models) row.hidden = true; // to be laid out slice by slice
      this.table.tBodies[0].append(...order.map(({ model }) => model.row));
      this.columns.forEach((each, index) => {
        if (each.key === key) this.headers[index].setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
        else this.headers[index].removeAttribute("aria-sort");
      });
    }

    compare() {
      const chosen = this.models.filter((model) => model.box.checked), names = chosen.map((model) => model.name).join("\n");
      this.comparison.hidden = this.jump.hidden = chosen.length < 2;
      this.jump.textContent = `Compare ${chosen.length} models`;
      if (chosen.length < 2 || names === this.compared) return;
      this.compared = names;
      const head = make("tr", {}, make("th", { scope: "col" }, "Figure"),
        ...chosen.map((model) => make("th", { scope: "col" }, make("a", { href: model.url }, model.name))));
      const body = this.columns.slice(1).map((column) => make("tr", {}, make("th", { scope: "row" }, column.label),
        ...chosen.map((model) => this.compareCell(column, model, chosen))));
      this.comparison.replaceChildren(make("h2", { id: "compare" }, "Compare"),
        make("div", { className: "hub-scroll", tabIndex: 0, role: "region", "aria-label": "Comparison" },
          make("table", { className: "hub-comparison" }, make("thead", {}, head), make("tbody", {}, ...body))));
    }

    compareCell(column, model, chosen) {
      const value = model.number[column.key], cell = make("td");
      cell.append(...model.row.cells[this.columns.indexOf(column)].cloneNode(true).childNodes);
      if (column.text || value === undefined) return cell;
      const known = chosen.map((other) => other.number[column.key]).filter((other) => other !== undefined);
      const best = LOWER_IS_BETTER.has(column.key) ? Math.min(...known) : Math.max(...known);
      if (value === best) cell.className = "hub-best";
      else if (best) {
        const away = column.key.startsWith("top") ? `${(value - best).toFixed(2)} points` : `× ${(value / best).toFixed(2)}`;
        cell.append(make("small", {}, ` ${away.replace("-", "\u2212")}`));
      }
      return cell;
    }
  }

  /* What the theme leaves without a name, unsaid, or out of the keyboard's reach. */
  function fixTheme() {
    for (const cell of document.querySelectorAll("article table:not([class]) tbody td:first-child")) cell.setAttribute("role", "rowheader");
    for (const said of document.querySelectorAll(".md-dialog:not([role]) > .md-dialog__inner")) said.setAttribute("role", "status");
    for (const dialog of document.querySelectorAll("[role=dialog]:not([aria-label])")) dialog.setAttribute("aria-label", "Search");
    for (const button of document.querySelectorAll('.md-version__current[aria-label="Select version"]')) button.setAttribute("aria-label", `Select version: ${button.textContent}`);
    document.querySelectorAll(".md-code__nav").forEach((nav, index) => nav.setAttribute("aria-label", `Code block ${index + 1}`));
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) if (box.tabIndex < 0) box.tabIndex = 0;
  }

  /* The theme hands what is typed to lunr as its query language, in which `--data` or `num-classes:` is a mistake that
   * finds nothing and is logged (mkdocs-material 9.8). Here it is words; only quotes keep their meaning. Zensical's
   * search, whose message is no text, takes words for words itself. */
  function searchForWords() {
    const QUERY = 2, post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
      const words = message && message.type === QUERY && typeof message.data === "string" && { ...message, data: message.data.replace(/[-+~^:*\\]+/g, " ") };
      return post.call(this, words || message, ...rest);
    };
  }

  function start() {
    for (const root of document.querySelectorAll(".hub-overview[data-models]")) {
      if (!root.started) root.started = new Overview(root);
    }
    fixTheme();
  }

  searchForWords();
  const topic = document.querySelector(".md-header__topic"); // where the versions come, before this or after
  if (topic) new MutationObserver(fixTheme).observe(topic, { childList: true });
  if (window.document$) window.document$.subscribe(() => setTimeout(start));
  else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})(window.RexnetHub);

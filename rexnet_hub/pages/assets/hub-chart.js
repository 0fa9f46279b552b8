/* The accuracy-against-cost chart: links placed by percent over a grid, so that they are ordinary links. */
window.RexnetHub = window.RexnetHub || {};
(function (hub) {
  "use strict";
  const LARGEST_RADIUS = 18, SMALLEST_RADIUS = 4, MOST_LABELS = 40, WIDEST_LINEAR = 50;
  /* Where models are many, those in one square of so many pixels are one mark with their number, so wide;
   * the number in it is what no label covers. */
  const SQUARE = 40, SMALLEST_GROUP = 11, LARGEST_GROUP = 18, NUMBER_RADIUS = 6;

  /* Makes an element: properties, then children; text never becomes markup. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  /* The same rules as pages/chart.py: some five round steps that hold all values with a margin, or powers of ten. */
  function roundAxis(values, isCost) {
    let low = Math.min(...values), high = Math.max(...values);
    if (isCost && low > 0 && low < high / WIDEST_LINEAR) {
      const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), ticks = [];
      for (let power = first; power <= last; power++) ticks.push(Number(`1e${power}`));
      return { ticks, share: (value) => (Math.log10(value) - first) / (last - first) };
    }
    const span = high - low || Math.abs(high) || 1;
    [low, high] = [Math.max(low - 0.08 * span, Math.min(low, 0)), high + 0.08 * span];
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999999);
    const first = Math.floor(low / step), last = Math.ceil(high / step), ticks = [];
    for (let index = first; index <= last; index++) ticks.push(index * step);
    return { ticks, share: (value) => (value / step - first) / (last - first) };
  }

  /* What no other beats: walk from the cheapest, keep what is more accurate than all before. */
  function paretoFront(models, x, y) {
    const sorted = [...models].sort((a, b) => x(a) - x(b) || y(b) - y(a)), front = [];
    for (const model of sorted) if (!front.length || y(model) > y(front[front.length - 1])) front.push(model);
    return front;
  }

  const sizeOf = (model) => model.number.parameters || 0;

  /* The least and the greatest of a figure. */
  function extremes(models, key) {
    const values = models.map((model) => model.number[key]);
    return [Math.min(...values), Math.max(...values)];
  }

  class Chart {
    /* Calls `zoom` with the models of a group that is pressed. */
    constructor(models, zoom) {
      this.models = models.filter((model) => model.rated && "top1" in model.number);
      this.front = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.front.setAttribute("viewBox", "0 0 1000 1000");
      this.front.setAttribute("preserveAspectRatio", "none");
      this.front.setAttribute("aria-hidden", "true");
      [this.grid, this.line] = ["hub-grid", "hub-line"].map((name) => {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("class", name);
        return path;
      });
      this.front.append(this.grid, this.line);
      this.tip = make("div", { className: "hub-tip", role: "tooltip", id: "hub-tip", hidden: true });
      this.xLabel = make("span", { className: "hub-x-label" });
      this.ticks = make("div", { className: "hub-ticks", "aria-hidden": "true" });
      this.marks = make("div", { className: "hub-marks" });
      this.groups = make("span", { hidden: true }, " A number is so many models: press it to see them.");
      this.plot = make("div", { className: "hub-plot", role: "group", "aria-label": "Chart; arrow keys lead from model to model" }, this.ticks, this.front, this.xLabel,
        make("span", { className: "hub-y-label" }, "Top-1 accuracy (%)"), this.marks, this.tip);
      this.element = make("figure", { className: "hub-chart" }, this.plot,
        make("figcaption", {}, "Area: parameters. Line: the models that no other beats. Open one by its point.", this.groups));
      this.plot.addEventListener("click", ({ target }) => {
        const mark = target.closest(".hub-group");
        if (mark) zoom(mark.models);
      });
      this.plot.addEventListener("mouseover", (event) => this.showTip(event.target));
      this.plot.addEventListener("mouseout", () => this.hideTip());
      this.plot.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.showTip(event.target));
      this.plot.addEventListener("focusout", () => this.hideTip());
      this.element.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.hideTip();
        else if (event.target.models && event.key in this.steps(event.target)) {
          event.preventDefault();
          this.reach(this.steps(event.target)[event.key]);
          this.stop.focus();
        }
      });
    }

    /* Which mark each key leads to, from one: by cost. */
    steps(mark) {
      const order = [...this.marks.children], at = order.indexOf(mark), last = order.length - 1;
      const by = (step) => order[Math.min(Math.max(at + step, 0), last)];
      return { ArrowRight: by(1), ArrowUp: by(1), ArrowLeft: by(-1), ArrowDown: by(-1), Home: order[0], End: order[last] };
    }

    /* Makes a mark the one that the tab key stops at. */
    reach(mark) {
      if (this.stop) this.stop.tabIndex = -1;
      this.stop = mark;
      if (mark) mark.tabIndex = 0;
    }

    /* Draws axes that hold these models, for the cost: {key, label, unit, unitName, isMoreBetter}. */
    draw(shown) {
      const cost = this.cost;
      this.x = roundAxis(shown.length ? shown.map((model) => model.number[cost.key] / cost.unit) : [0, 1], true);
      this.y = roundAxis(shown.length ? shown.map((model) => model.number.top1) : [0, 100]);
      this.ticks.replaceChildren(...this.x.ticks.map((tick) => this.makeTick("hub-x", "left", this.x.share(tick), tick)),
        ...this.y.ticks.map((tick) => this.makeTick("hub-y", "bottom", this.y.share(tick), tick)));
      this.grid.setAttribute("d", [
        ...this.x.ticks.map((tick) => `M${1000 * this.x.share(tick)} 0V1000`),
        ...this.y.ticks.map((tick) => `M0 ${1000 * (1 - this.y.share(tick))}H1000`),
      ].join(""));
      this.xLabel.textContent = cost.label;
    }

    makeTick(name, side, share, tick) {
      const element = make("span", { className: name }, String(Number(tick.toPrecision(6))));
      element.style[side] = `${100 * share}%`;
      return element;
    }

    /* What one model is, or several are: in lines. */
    describe(models) {
      const [model] = models, cost = this.cost, isOne = models.length === 1;
      const span = (key, print) => [...new Set(extremes(models, key).map(print))].join(" to ");
      const lines = [isOne ? model.name : `${models.length} models`];
      lines.push(`top-1 ${isOne ? model.shown.top1 : span("top1", (top1) => Number(top1.toFixed(2)))} %`);
      const digits = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
      lines.push(`${cost.name} ${span(cost.key, (value) => (value / cost.unit).toLocaleString("en", digits))} ${cost.unitName}`.trim());
      if (isOne && cost.key !== "parameters" && model.shown.parameters) lines.push(`${model.shown.parameters} parameters`);
      return lines;
    }

    /* Where a model stands, in 0..1 from the left and from the top. */
    at(model) {
      return [this.x.share(model.number[this.cost.key] / this.cost.unit), 1 - this.y.share(model.number.top1)];
    }

    /* Puts models that stand in one square together. */
    group(models, { width, height }) {
      const squares = new Map();
      for (const model of models) {
        const [x, y] = this.at(model), square = `${Math.floor((x * width) / SQUARE)} ${Math.floor((y * height) / SQUARE)}`;
        if (!squares.has(square)) squares.set(square, []);
        squares.get(square).push(model);
      }
      return [...squares.values()];
    }

    /* Shows these models for a cost, on axes that hold them, and the front of them. */
    show(visible, cost) {
      this.cost = cost;
      const shown = this.models.filter((model) => visible.has(model) && cost.key in model.number);
      const isCrowded = shown.length > MOST_LABELS, hasFocus = this.marks.contains(document.activeElement);
      const front = paretoFront(shown, (model) => (cost.isMoreBetter ? -1 : 1) * model.number[cost.key], (model) => model.number.top1), inFront = new Set(front);
      this.draw(shown);
      const plot = this.plot.getBoundingClientRect(), others = shown.filter((model) => !inFront.has(model));
      const groups = isCrowded ? this.group(others, plot) : others.map((model) => [model]);
      const most = { models: Math.max(...groups.map((models) => models.length)), size: Math.max(...shown.map(sizeOf)) || 1 };
      const marks = [...front.map((model) => [model]), ...groups].map((models) => this.makeMark(models, most, isCrowded ? 0.5 : 1));
      const unbeaten = marks.slice(0, front.length);
      for (const mark of unbeaten) mark.classList.add("hub-front");
      this.line.setAttribute("d", unbeaten.length ? `M${unbeaten.map(({ at: [x, y] }) => `${1000 * x} ${1000 * y}`).join("L")}` : "");
      this.plot.classList.toggle("hub-crowded", isCrowded);
      this.groups.hidden = !groups.some((models) => models.length > 1);
      const before = this.stop && this.stop.models[0];
      this.reach(marks.find(({ models }) => models[0] === before) || marks[0]);
      this.marks.replaceChildren(...[...marks].sort((a, b) => a.at[0] - b.at[0]));
      if (hasFocus && this.stop) this.stop.focus();
      this.placeLabels(plot, marks, isCrowded ? unbeaten : marks);
    }

    /* Makes a point that opens its model, or a group's mark; `most` are the most models of a group, the most parameters. */
    makeMark(models, most, share) {
      const [model] = models, count = models.length, isOne = count === 1;
      const mark = isOne ? make("a", { className: "hub-point", href: model.url }, make("span", { className: "hub-name" }, model.name))
        : make("button", { type: "button", className: "hub-point hub-group" }, String(count));
      mark.models = models;
      mark.tabIndex = -1;
      mark.at = models.map((each) => this.at(each)).reduce(([x, y], [left, top]) => [x + left / count, y + top / count], [0, 0]);
      mark.radius = isOne ? share * Math.max(SMALLEST_RADIUS, LARGEST_RADIUS * Math.sqrt(sizeOf(model) / most.size))
        : SMALLEST_GROUP + (LARGEST_GROUP - SMALLEST_GROUP) * Math.sqrt(count / most.models);
      mark.style.setProperty("--size", `${2 * mark.radius}px`);
      mark.style.left = `${100 * mark.at[0]}%`;
      mark.style.bottom = `${100 * (1 - mark.at[1])}%`;
      mark.setAttribute("aria-label", this.describe(models).join(", "));
      return mark;
    }

    /* Tries each label on four sides; one that fits nowhere is left to the tooltip. */
    placeLabels(plot, marks, labelled) {
      const order = labelled === marks ? ["right", "left", "above", "below"] : ["above", "left", "right", "below"];
      const centre = ({ at: [x, y] }) => ({ x: x * plot.width, y: y * plot.height });
      const taken = marks.map((mark) => {
        const { x, y } = centre(mark), r = mark.models.length > 1 ? NUMBER_RADIUS : mark.radius;
        return { left: x - r, right: x + r, top: y - r, bottom: y + r };
      });
      const sizes = labelled.map((mark) => mark.firstChild.getBoundingClientRect());
      labelled.forEach((mark, index) => {
        const { x, y } = centre(mark), r = mark.radius + 4, { width, height } = sizes[index];
        const sides = {
          right: [x + r, y - height / 2], left: [x - r - width, y - height / 2],
          above: [x - width / 2, y - r - height], below: [x - width / 2, y + r],
        };
        const fits = ([left, top]) => left >= 0 && top >= 0 && left + width <= plot.width && top + height <= plot.height &&
          !taken.some((box) => left < box.right && left + width > box.left && top < box.bottom && top + height > box.top);
        const side = order.find((name) => fits(sides[name]));
        mark.firstChild.hidden = !side;
        if (!side) return;
        const [left, top] = sides[side];
        taken.push({ left, top, right: left + width, bottom: top + height });
        mark.dataset.side = side;
      });
    }

    showTip(target) {
      const point = target.closest && target.closest(".hub-point");
      if (!point) return;
      const [name, ...lines] = this.describe(point.models);
      this.tip.replaceChildren(make("strong", {}, name), ...lines.map((line) => make("span", {}, line)));
      this.tip.hidden = false;
      const isRight = parseFloat(point.style.left) > 50, isHigh = parseFloat(point.style.bottom) > 50;
      this.tip.style.cssText = `${isRight ? "right" : "left"}:${isRight ? 100 - parseFloat(point.style.left) : point.style.left}` +
        `${isRight ? "%" : ""};${isHigh ? `top:calc(${100 - parseFloat(point.style.bottom)}% + ${point.radius + 6}px)` : `bottom:calc(${point.style.bottom} + ${point.radius + 6}px)`}`;
      point.setAttribute("aria-describedby", "hub-tip");
    }

    hideTip() {
      this.tip.hidden = true;
    }
  }

  hub.make = make;
  hub.extremes = extremes;
  hub.roundAxis = roundAxis;
  hub.paretoFront = paretoFront;
  hub.Chart = Chart;
})(window.RexnetHub);

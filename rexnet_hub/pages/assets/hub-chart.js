/* The accuracy-against-cost chart: links placed by percent over a grid, so that they are ordinary links. */
window.RexnetHub = window.RexnetHub || {};
(function (hub) {
  "use strict";
  const LARGEST_RADIUS = 18, SMALLEST_RADIUS = 4, MOST_LABELS = 40, WIDEST_LINEAR = 50;

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

  class Chart {
    constructor(models) {
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
      this.points = new Map(this.models.map((model) => [model, this.makePoint(model)]));
      this.plot = make("div", { className: "hub-plot", role: "group", "aria-label": "Chart; arrow keys lead from model to model" }, this.ticks, this.front, this.xLabel,
        make("span", { className: "hub-y-label" }, "Top-1 accuracy (%)"), ...this.points.values(), this.tip);
      this.element = make("figure", { className: "hub-chart" }, this.plot,
        make("figcaption", {}, "Area: parameters. Line: the models that no other beats. Open one by its point."));
      this.plot.addEventListener("mouseover", (event) => this.showTip(event.target));
      this.plot.addEventListener("mouseout", () => this.hideTip());
      this.plot.addEventListener("focusin", (event) => this.showTip(event.target));
      this.plot.addEventListener("focusout", () => this.hideTip());
      this.element.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.hideTip();
        else if (event.target.model && event.key in this.steps(event.target)) {
          event.preventDefault();
          this.reach(this.steps(event.target)[event.key]).focus();
        }
      });
    }

    /* Which point each key leads to, from one: by cost. */
    steps(point) {
      const at = this.order.indexOf(point.model), last = this.order.length - 1;
      const by = (step) => this.order[Math.min(Math.max(at + step, 0), last)];
      return { ArrowRight: by(1), ArrowUp: by(1), ArrowLeft: by(-1), ArrowDown: by(-1), Home: this.order[0], End: this.order[last] };
    }

    /* Makes a model's point the one that the tab key stops at. */
    reach(model) {
      if (this.stop) this.stop.tabIndex = -1;
      this.stop = this.points.get(model);
      if (this.stop) this.stop.tabIndex = 0;
      return this.stop;
    }

    makePoint(model) {
      const point = make("a", { className: "hub-point", href: model.url, tabIndex: -1 }, make("span", { className: "hub-name" }, model.name));
      point.model = model;
      return point;
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

    describe(model) {
      const cost = this.cost, lines = [model.name, `top-1 ${model.shown.top1} %`];
      const value = (model.number[cost.key] / cost.unit).toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
      lines.push(`${cost.name} ${value} ${cost.unitName}`.trim());
      if (cost.key !== "parameters" && model.shown.parameters) lines.push(`${model.shown.parameters} parameters`);
      return lines;
    }

    /* Shows these models for a cost, on axes that hold them, and the front of them. */
    show(visible, cost) {
      this.cost = cost;
      const shown = this.models.filter((model) => visible.has(model) && cost.key in model.number), has = new Set(shown);
      const isCrowded = shown.length > MOST_LABELS, size = (model) => model.number.parameters || 0;
      const largest = shown.reduce((most, model) => Math.max(most, size(model)), 0) || 1;
      this.draw(shown);
      for (const [model, point] of this.points) point.hidden = !has.has(model);
      for (const model of shown) {
        const point = this.points.get(model);
        point.radius = (isCrowded ? 0.5 : 1) * Math.max(SMALLEST_RADIUS, LARGEST_RADIUS * Math.sqrt(size(model) / largest));
        point.style.setProperty("--size", `${2 * point.radius}px`);
        point.style.left = `${100 * this.x.share(model.number[cost.key] / cost.unit)}%`;
        point.style.bottom = `${100 * this.y.share(model.number.top1)}%`;
        if (point.cost !== cost) point.setAttribute("aria-label", this.describe(model).join(", "));
        point.cost = cost;
      }
      const front = paretoFront(shown, (model) => (cost.isMoreBetter ? -1 : 1) * model.number[cost.key], (model) => model.number.top1);
      const inFront = new Set(front);
      this.order = [...shown].sort((a, b) => a.number[cost.key] - b.number[cost.key]);
      if (!this.stop || !has.has(this.stop.model)) this.reach(front[0]);
      const place = (model) =>
        `${1000 * this.x.share(model.number[cost.key] / cost.unit)} ${1000 * (1 - this.y.share(model.number.top1))}`;
      this.line.setAttribute("d", front.length ? `M${front.map(place).join("L")}` : "");
      for (const model of shown) this.points.get(model).classList.toggle("hub-front", inFront.has(model));
      this.plot.classList.toggle("hub-crowded", isCrowded);
      this.placeLabels(shown, isCrowded ? front : shown);
    }

    /* Tries each label on four sides; one that fits nowhere is left to the tooltip. */
    placeLabels(shown, labelled) {
      const plot = this.plot.getBoundingClientRect(), taken = [];
      const order = labelled === shown ? ["right", "left", "above", "below"] : ["above", "left", "right", "below"];
      const centre = (model) => ({
        x: this.x.share(model.number[this.cost.key] / this.cost.unit) * plot.width,
        y: (1 - this.y.share(model.number.top1)) * plot.height,
      });
      for (const model of shown) {
        const { x, y } = centre(model), r = this.points.get(model).radius;
        taken.push({ left: x - r, right: x + r, top: y - r, bottom: y + r });
      }
      for (const model of labelled) {
        const point = this.points.get(model), label = point.firstChild, { x, y } = centre(model), r = point.radius + 4;
        label.hidden = false;
        const { width, height } = label.getBoundingClientRect();
        const sides = {
          right: [x + r, y - height / 2], left: [x - r - width, y - height / 2],
          above: [x - width / 2, y - r - height], below: [x - width / 2, y + r],
        };
        const fits = ([left, top]) => left >= 0 && top >= 0 && left + width <= plot.width && top + height <= plot.height &&
          !taken.some((box) => left < box.right && left + width > box.left && top < box.bottom && top + height > box.top);
        const side = order.find((name) => fits(sides[name]));
        label.hidden = !side;
        if (!side) continue;
        const [left, top] = sides[side];
        taken.push({ left, top, right: left + width, bottom: top + height });
        point.dataset.side = side;
      }
    }

    showTip(target) {
      const point = target.closest && target.closest(".hub-point");
      if (!point) return;
      const [name, ...lines] = this.describe(point.model);
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
  hub.roundAxis = roundAxis;
  hub.paretoFront = paretoFront;
  hub.Chart = Chart;
})(window.RexnetHub);

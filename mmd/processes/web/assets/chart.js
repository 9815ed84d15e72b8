"use strict";

// Draws three panels over one time axis: prices, position, profit. A point is
// [t ms, reference bid, reference ask, our bid, our ask, position, profit]; 0 in a price means none.

const GAP_MS = 5000; // a longer silence breaks the lines
const LEAST_SPAN_MS = 60e3;
const PANELS = [0.64, 0.18, 0.18];
const MARGIN = { left: 8, right: 78, top: 8, bottom: 20, between: 12 };

class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    this.fills = [];
    this.spanMs = 5 * 60e3;
    this.pointer = null;
    this.zone = undefined;
    this.units = ["", ""];
    canvas.addEventListener("pointermove", (move) => {
      this.pointer = move.offsetX;
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(points, fills) {
    this.points = points;
    this.fills = fills;
    this.draw();
  }

  add(point) {
    const last = this.points[this.points.length - 1];
    if (last && point[0] <= last[0]) return;
    this.points.push(point);
    if (this.points.length > 3600) this.points.shift();
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue("--" + name).trim();
    this.pen = pen;
    const end = this.points.length ? this.points[this.points.length - 1][0] : Date.now();
    const known = this.points.length ? end - this.points[0][0] : 0;
    const spanMs = Math.min(this.spanMs, Math.max(LEAST_SPAN_MS, known));
    this.from = end - spanMs;
    this.to = end;
    this.left = MARGIN.left;
    this.right = width - MARGIN.right;
    const shown = this.points.filter((point) => point[0] >= this.from);
    const room = height - MARGIN.top - MARGIN.bottom - 2 * MARGIN.between;
    let top = MARGIN.top;
    const boxes = PANELS.map((part) => {
      const box = { top, bottom: top + room * part };
      top = box.bottom + MARGIN.between;
      return box;
    });
    this.timeAxis(boxes, height);
    if (!shown.length) {
      this.text("no data yet", (this.left + this.right) / 2, height / 2, "dim", "center");
      return;
    }
    this.prices(boxes[0], shown);
    this.line(boxes[1], shown, 5, "position " + this.units[0], [0]);
    this.line(boxes[2], shown, 6, "profit in all " + this.units[1], []);
    if (this.pointer !== null) this.cross(boxes, shown);
  }

  x(t) {
    return this.left + ((t - this.from) / (this.to - this.from)) * (this.right - this.left);
  }

  time(t, seconds) {
    const options = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: this.zone };
    if (seconds) options.second = "2-digit";
    return new Intl.DateTimeFormat(undefined, options).format(t);
  }

  text(text, x, y, colour, align = "left") {
    this.pen.fillStyle = this.colour(colour);
    this.pen.textAlign = align;
    this.pen.textBaseline = "middle";
    this.pen.fillText(text, x, y);
  }

  rule(x1, y1, x2, y2, colour) {
    const { pen } = this;
    pen.strokeStyle = this.colour(colour);
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
    pen.lineTo(Math.round(x2) + 0.5, Math.round(y2) + 0.5);
    pen.stroke();
  }

  timeAxis(boxes, height) {
    const wanted = Math.max(2, Math.floor((this.right - this.left) / 110));
    const steps = [10, 15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * 1000);
    const step = steps.find((candidate) => (this.to - this.from) / candidate <= wanted) || steps[steps.length - 1];
    for (let t = Math.ceil(this.from / step) * step; t <= this.to; t += step) {
      const x = this.x(t);
      for (const box of boxes) this.rule(x, box.top, x, box.bottom, "line");
      if (x > this.left + 16 && x < this.right - 16) {
        this.text(this.time(t, step < 60e3), x, height - MARGIN.bottom / 2 + 1, "dim", "center");
      }
    }
  }

  valueAxis(box, low, high, count, taken = []) {
    const step = niceStep((high - low) / count);
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
      const y = scaleY(box, low, high, value);
      this.rule(this.left, y, this.right, y, "line");
      if (taken.every((other) => Math.abs(other - y) > 14)) {
        this.text(label(value, step), this.right + 6, y, "dim");
      }
    }
  }

  prices(box, shown) {
    const values = shown.flatMap((point) => point.slice(1, 5)).filter((price) => price > 0);
    const fills = this.fills.filter((fill) => fill.t >= this.from && fill.t <= this.to + 2000);
    values.push(...fills.map((fill) => fill.price));
    if (!values.length) {
      this.text("no prices", (this.left + this.right) / 2, (box.top + box.bottom) / 2, "dim", "center");
      return;
    }
    const [low, high] = padded(Math.min(...values), Math.max(...values), 1e-5);
    const y = (price) => scaleY(box, low, high, price);
    const last = shown[shown.length - 1];
    this.valueAxis(box, low, high, 6, [last[3], last[4]].filter(Boolean).map(y));
    this.band(shown, y);
    this.steps(shown, 3, y, this.colour("bid"));
    this.steps(shown, 4, y, this.colour("ask"));
    for (const fill of fills) this.mark(this.x(fill.t), y(fill.price), fill);
    for (const [index, colour] of [[3, "bid"], [4, "ask"]]) {
      if (last[index]) this.tag(y(last[index]), label(last[index], (high - low) / 40), colour);
    }
  }

  band(shown, y) {
    const { pen } = this;
    for (const run of runs(shown, (point) => point[1] > 0 && point[2] > 0)) {
      pen.beginPath();
      run.forEach((point, index) => {
        if (index) pen.lineTo(this.x(point[0]), y(point[2]));
        else pen.moveTo(this.x(point[0]), y(point[2]));
      });
      for (const point of [...run].reverse()) pen.lineTo(this.x(point[0]), y(point[1]));
      pen.closePath();
      pen.fillStyle = this.colour("band");
      pen.fill();
      pen.beginPath();
      run.forEach((point, index) => {
        const middle = y((point[1] + point[2]) / 2);
        if (index) pen.lineTo(this.x(point[0]), middle);
        else pen.moveTo(this.x(point[0]), middle);
      });
      pen.strokeStyle = this.colour("reference");
      pen.lineWidth = 1;
      pen.stroke();
    }
  }

  steps(shown, index, y, colour) {
    const { pen } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = 1.6;
    for (const run of runs(shown, (point) => point[index] !== 0)) {
      pen.beginPath();
      run.forEach((point, number) => {
        if (!number) pen.moveTo(this.x(point[0]), y(point[index]));
        else {
          pen.lineTo(this.x(point[0]), y(run[number - 1][index]));
          pen.lineTo(this.x(point[0]), y(point[index]));
        }
      });
      pen.stroke();
    }
  }

  mark(x, y, fill) {
    const { pen } = this;
    const up = fill.side === "buy" ? 1 : -1;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x - 5, y + 9 * up);
    pen.lineTo(x + 5, y + 9 * up);
    pen.closePath();
    pen.fillStyle = this.colour(fill.side === "buy" ? "bid" : "ask");
    pen.strokeStyle = this.colour("card");
    pen.lineWidth = 1;
    pen.fill();
    pen.stroke();
  }

  tag(y, text, colour) {
    const { pen } = this;
    pen.fillStyle = this.colour(colour);
    pen.fillRect(this.right + 2, y - 8, MARGIN.right - 4, 16);
    this.text(text, this.right + 6, y, "card");
  }

  line(box, shown, index, title, always) {
    const values = [...always, ...shown.filter(isKnown).map((point) => point[index])];
    const [low, high] = values.length ? padded(Math.min(...values), Math.max(...values), 0) : [-1, 1];
    this.valueAxis(box, low, high, 3);
    const y = (value) => scaleY(box, low, high, value);
    if (low < 0 && high > 0) this.rule(this.left, y(0), this.right, y(0), "dim");
    const { pen } = this;
    pen.strokeStyle = this.colour("accent");
    pen.lineWidth = 1.6;
    for (const run of runs(shown, isKnown)) {
      pen.beginPath();
      run.forEach((point, number) => {
        if (number) pen.lineTo(this.x(point[0]), y(point[index]));
        else pen.moveTo(this.x(point[0]), y(point[index]));
      });
      pen.stroke();
    }
    pen.fillStyle = this.colour("card");
    pen.fillRect(this.left, box.top, pen.measureText(title).width + 8, 15);
    this.text(title, this.left + 4, box.top + 8, "dim");
  }

  cross(boxes, shown) {
    const t = this.from + ((this.pointer - this.left) / (this.right - this.left)) * (this.to - this.from);
    const near = (best, point) => (Math.abs(point[0] - t) < Math.abs(best[0] - t) ? point : best);
    const point = shown.reduce(near);
    const x = this.x(point[0]);
    this.rule(x, boxes[0].top, x, boxes[2].bottom, "dim");
    const digits = (value) => (value ? plain(value) : "–");
    const lines = [
      this.time(point[0], true),
      "reference " + digits((point[1] + point[2]) / 2),
      "our ask " + digits(point[4]),
      "our bid " + digits(point[3]),
      "position " + plain(point[5]),
      "profit " + plain(point[6]),
    ];
    const { pen } = this;
    const wide = Math.max(...lines.map((line) => pen.measureText(line).width)) + 16;
    const tall = lines.length * 16 + 8;
    const at = x + wide + 12 < this.right ? x + 10 : x - wide - 10;
    pen.fillStyle = this.colour("card");
    pen.strokeStyle = this.colour("line");
    pen.fillRect(at, boxes[0].top + 6, wide, tall);
    pen.strokeRect(at + 0.5, boxes[0].top + 6.5, wide, tall);
    lines.forEach((line, number) => this.text(line, at + 8, boxes[0].top + 18 + 16 * number, "text"));
  }
}

// Before a pair has found its reference it does not know its position either.
function isKnown(point) {
  return point[1] > 0;
}

function runs(points, holds) {
  const found = [];
  let run = [];
  points.forEach((point, index) => {
    const torn = index && point[0] - points[index - 1][0] > GAP_MS;
    if ((torn || !holds(point)) && run.length) {
      found.push(run);
      run = [];
    }
    if (holds(point)) run.push(point);
  });
  if (run.length) found.push(run);
  return found;
}

function padded(low, high, least) {
  const room = Math.max(high - low, Math.abs(high) * least, high === low ? Math.abs(high) || 1 : 0);
  return [low - room * 0.08, high + room * 0.08];
}

function scaleY(box, low, high, value) {
  return box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function label(value, step) {
  const places = Math.min(8, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (step < 1 && /^2\.?5/.test(step.toExponential()) ? 1 : 0)));
  return (Math.abs(value) < step / 1e6 ? 0 : value).toLocaleString("en-US", {
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  });
}

function plain(value) {
  const size = Math.abs(value);
  const places = size >= 10000 ? 1 : size >= 100 ? 2 : size >= 1 ? 4 : 6;
  return value.toLocaleString("en-US", { maximumFractionDigits: places });
}

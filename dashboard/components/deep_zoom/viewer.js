// A slide at any magnification: OpenSeadragon draws the slide, a canvas above it tissue, tiles and heatmap.
// Coordinates are level-0 pixels of the slide. What is shown comes from views/slide_viewer.py.

const VIEWERS = new WeakMap();
const LINE = "rgb(0, 158, 115)";

export default function ({ data, parentElement, setTriggerValue }) {
  let shown = VIEWERS.get(parentElement);
  if (!shown) VIEWERS.set(parentElement, (shown = new SlideViewer(parentElement.querySelector(".viewer"))));
  shown.update(data, setTriggerValue);
  return () =>
    setTimeout(() => {
      if (shown.root.isConnected) return;
      shown.close();
      VIEWERS.delete(parentElement);
    });
}

let library;
function openSeadragon(address) {
  library ??= new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: address });
    script.onload = () => resolve(window.OpenSeadragon);
    script.onerror = () => reject((library = undefined));
    document.head.append(script);
  });
  return library;
}

function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Kind(bytes.buffer);
}

class SlideViewer {
  constructor(root) {
    this.root = root;
    const find = (selector) => root.querySelector(selector);
    this.stage = find(".stage");
    this.canvas = find(".overlay");
    this.layers = Object.fromEntries([...root.querySelectorAll("[data-layer]")].map((e) => [e.dataset.layer, e]));
    this.opacity = find("input[type=range]");
    this.chosen = null;
    for (const input of [...Object.values(this.layers), this.opacity])
      input.addEventListener("input", () => (this.keep(), this.draw()));
    root.addEventListener("click", (event) => this.act(event.target.closest("[data-do]")?.dataset.do));
    find("[data-do=full]").hidden = !document.fullscreenEnabled;
    this.stage.addEventListener("keydown", () => this.stage.classList.add("keys"), true);
    this.stage.addEventListener("pointerdown", () => this.stage.classList.remove("keys"), true);
    this.stage.addEventListener("focusout", () => this.stage.classList.remove("keys"));
  }

  update(data, trigger) {
    const first = this.data?.slide.tiles !== data.slide.tiles;
    const heated = Boolean(data.heatmap) && (first || !this.data?.heatmap);
    [this.data, this.trigger] = [data, trigger];
    this.tiles = data.tiles && this.unpacked(data.tiles);
    this.outline = this.path(data.outline);
    this.picture = null;
    if (data.heatmap) {
      const picture = new Image();
      picture.onload = () => ((this.picture = picture), this.draw());
      picture.src = data.heatmap.picture;
    }
    if (first) this.restore();
    if (heated && !this.kept.layers) this.layers.heatmap.checked = data.heatmap.reliable;
    this.root.querySelectorAll(".heat, .opacity").forEach((e) => (e.hidden = !data.heatmap));
    this.root.querySelector(".words").textContent = data.words;
    this.legend();
    this.choose(first || !this.tiles ? null : this.again());
    if (first) this.open();
    else this.draw();
  }

  unpacked(tiles) {
    const kinds = { x: Float32Array, y: Float32Array, column: Uint16Array, row: Uint16Array, group: Uint8Array };
    const arrays = Object.entries({ ...kinds, probability: Uint16Array });
    return { ...tiles, ...Object.fromEntries(arrays.map(([name, Kind]) => [name, unpack(tiles[name], Kind)])) };
  }

  path(outline) {
    if (!outline) return null;
    const [corners, path] = [unpack(outline.corners, Int32Array), new Path2D()];
    let i = 0;
    for (const length of unpack(outline.lengths, Int32Array)) {
      for (let k = 0; k < length; k++, i += 2) path[k ? "lineTo" : "moveTo"](corners[i], corners[i + 1]);
      path.closePath();
    }
    return path;
  }

  // --- the slide

  async open() {
    const { slide } = this.data;
    this.failed("");
    this.close();
    let OSD;
    try {
      OSD = await openSeadragon(this.data.script);
    } catch {
      return this.failed("The viewer's script could not be loaded. Reload the page.");
    }
    if (slide.tiles !== this.data.slide.tiles || this.viewer) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const viewer = (this.viewer = OSD({
      element: this.root.querySelector(".slide"),
      drawer: "canvas",
      tileSources: {
        width: slide.width,
        height: slide.height,
        tileSize: slide.tile,
        tileOverlap: slide.overlap,
        minLevel: slide.first,
        maxLevel: slide.last,
        getTileUrl: (level, column, row) => `${slide.tiles}/${level}/${column}_${row}.jpg`,
      },
      showNavigationControl: false,
      showNavigator: this.stage.clientWidth > 560,
      navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.16,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { pinchRotate: false, dblClickToZoom: true },
      animationTime: still ? 0 : 0.5,
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.8,
      visibilityRatio: 0.4,
      imageLoaderLimit: 4,
      maxImageCacheCount: 150,
      timeout: 120000,
    }));
    this.OSD = OSD;
    viewer.canvas.append(this.canvas); // above the slide, below the small map of it
    viewer.canvas.setAttribute("role", "application");
    viewer.canvas.setAttribute("aria-label", `${slide.name}, slide viewer`);
    viewer.canvas.setAttribute("aria-description", this.data.words);
    if (viewer.navigator) {
      viewer.navigator.element.setAttribute("aria-hidden", "true");
      for (const e of viewer.navigator.element.querySelectorAll("[tabindex]")) e.tabIndex = -1;
      viewer.navigator.element.tabIndex = -1;
    }
    viewer.addHandler("open", () => {
      if (this.kept.view) viewer.viewport.fitBounds(new OSD.Rect(...this.kept.view), true);
      this.draw();
    });
    viewer.addHandler("update-viewport", () => this.draw());
    viewer.addHandler("resize", () => requestAnimationFrame(() => this.draw()));
    viewer.addHandler("animation-finish", () => {
      this.keep();
      if (this.stage.classList.contains("keys")) this.choose(this.under(...this.middle()));
    });
    viewer.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const place = viewer.viewport.pointFromPixel(event.position);
      this.choose(this.under(place.x * slide.width, place.y * slide.width));
    });
    viewer.addHandler("canvas-key", (event) => {
      const key = event.originalEvent.key;
      if ("rRfF".includes(key)) event.preventDefaultAction = true; // no rotation and no mirror image
      if (key === "Enter") {
        event.preventDefaultAction = true;
        if (this.chosen === null) this.choose(this.under(...this.middle()));
        else this.act("open");
      }
    });
    viewer.addHandler("tile-load-failed", (event) => this.explain(event.tile.getUrl()));
  }

  async explain(address) {
    if (this.told) return;
    this.told = true;
    const answer = await fetch(address).catch(() => null);
    if (answer?.ok) return void (this.told = false);
    const plain = answer?.headers.get("content-type")?.startsWith("text/plain");
    this.failed(plain ? await answer.text() : "The server does not send this slide any more. Reload the page.");
  }

  failed(sentence) {
    const place = this.root.querySelector(".failed");
    [place.textContent, place.hidden] = [sentence, !sentence];
    if (!sentence) this.told = false;
  }

  act(what) {
    const port = this.viewer?.viewport;
    if (what === "open" && this.chosen !== null) {
      const [column, row] = [this.tiles.column[this.chosen], this.tiles.row[this.chosen]];
      this.trigger("open", { column, row });
    } else if (what === "full") {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.root.requestFullscreen();
    } else if (port && what === "home") port.goHome();
    else if (port && (what === "in" || what === "out")) port.zoomBy(what === "in" ? 1.6 : 1 / 1.6).applyConstraints();
  }

  // --- what is kept of a slide's view, so that the way back from another page finds it

  get place() {
    return `her2-slide-view:${this.data.slide.tiles}`;
  }

  keep() {
    const view = this.viewer?.viewport?.getBounds();
    this.kept = {
      view: view && [view.x, view.y, view.width, view.height],
      opacity: this.opacity.value,
      layers: Object.fromEntries(Object.entries(this.layers).map(([name, e]) => [name, e.checked])),
    };
    if (!this.data.heatmap) delete this.kept.layers;
    sessionStorage.setItem(this.place, JSON.stringify(this.kept));
  }

  restore() {
    this.kept = JSON.parse(sessionStorage.getItem(this.place) ?? "{}");
    this.opacity.value = this.kept.opacity ?? 60;
    const layers = this.kept.layers ?? { outline: true, tiles: true, heatmap: this.data.heatmap?.reliable };
    for (const [name, input] of Object.entries(this.layers)) input.checked = Boolean(layers[name]);
  }

  // --- tiles

  middle() {
    const { x, y } = this.viewer.viewport.getCenter(true);
    return [x * this.data.slide.width, y * this.data.slide.width];
  }

  under(x, y) {
    if (!this.tiles) return null;
    const { side, count } = this.tiles;
    let [best, nearest] = [null, Infinity];
    for (let i = 0; i < count; i++) {
      const [dx, dy] = [x - this.tiles.x[i], y - this.tiles.y[i]];
      if (dx < 0 || dy < 0 || dx >= side || dy >= side) continue;
      const far = Math.abs(dx - side / 2) + Math.abs(dy - side / 2);
      if (far < nearest) [best, nearest] = [i, far];
    }
    return best;
  }

  again() {
    // The tile that was chosen before the data changed, by its place in the grid.
    if (!this.name) return null;
    const i = this.tiles.column.findIndex((c, k) => c === this.name[0] && this.tiles.row[k] === this.name[1]);
    return i < 0 ? null : i;
  }

  choose(number) {
    this.chosen = number;
    const group = number === null ? null : this.tiles.groups[this.tiles.group[number]];
    this.name = group && [this.tiles.column[number], this.tiles.row[number]];
    let text = "";
    if (group) {
      const share = this.tiles.probability.length ? this.tiles.probability[number] / 65535 : null;
      const said = group.counts && share !== null ? `${this.data.target} ${(100 * share).toFixed(1)}%` : group.name;
      text = `Tile at column ${this.name[0]}, row ${this.name[1]}: ${said}.`;
    }
    const place = this.root.querySelector(".chosen");
    if (place.textContent !== text) place.textContent = text;
    this.root.querySelector("[data-do=open]").hidden = !group?.opens;
    this.draw();
  }

  // --- drawing

  draw() {
    const port = this.viewer?.viewport;
    if (!port || !this.viewer.isOpen()) return;
    const [width, height, ratio] = [this.stage.clientWidth, this.stage.clientHeight, window.devicePixelRatio || 1];
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio))
      [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const origin = port.pixelFromPoint(new this.OSD.Point(0, 0), true);
    const scale = port.pixelFromPoint(new this.OSD.Point(1, 0), true).minus(origin).x / this.data.slide.width;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(scale * ratio, 0, 0, scale * ratio, origin.x * ratio, origin.y * ratio);
    const view = { left: -origin.x / scale, top: -origin.y / scale, width: width / scale, height: height / scale };
    if (this.picture && this.layers.heatmap.checked) this.drawHeatmap(context, view);
    if (this.tiles && this.layers.tiles.checked) this.drawTiles(context, view, scale);
    if (this.outline && this.layers.outline.checked) {
      for (const [colour, line] of [["#fff", 4], [LINE, 2]]) {
        [context.strokeStyle, context.lineWidth] = [colour, line / scale];
        context.stroke(this.outline);
      }
    }
    if (this.chosen !== null) this.frame(context, this.chosen, scale);
    this.drawScale(width, scale);
  }

  drawHeatmap(context, view) {
    // Only the cells in view, so that a cell stays sharp at any magnification.
    const { width, height } = this.data.heatmap;
    const [x, y] = [width / this.picture.width, height / this.picture.height];
    const left = Math.max(0, Math.floor(view.left / x));
    const top = Math.max(0, Math.floor(view.top / y));
    const right = Math.min(this.picture.width, Math.ceil((view.left + view.width) / x));
    const bottom = Math.min(this.picture.height, Math.ceil((view.top + view.height) / y));
    if (right <= left || bottom <= top) return;
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.opacity.value / 100;
    const [across, down] = [right - left, bottom - top];
    context.drawImage(this.picture, left, top, across, down, left * x, top * y, across * x, down * y);
    context.globalAlpha = 1;
  }

  drawTiles(context, view, scale) {
    const { side, count, groups } = this.tiles;
    const [seen, heat] = [side * scale, this.picture && this.layers.heatmap.checked];
    if (heat && seen < 8) return; // frames would hide the heatmap
    const paths = groups.map(() => new Path2D());
    for (let i = 0; i < count; i++) {
      const [x, y] = [this.tiles.x[i], this.tiles.y[i]];
      if (x + side < view.left || y + side < view.top || x > view.left + view.width || y > view.top + view.height)
        continue;
      paths[this.tiles.group[i]].rect(x, y, side, side);
    }
    context.globalAlpha = seen < 8 ? 0.35 : 0.9;
    paths.forEach((path, k) => {
      const colour = groups[k].colour;
      if (seen < 8) [context.fillStyle] = [colour], context.fill(path);
      else {
        if (groups[k].counts) {
          [context.strokeStyle, context.lineWidth] = ["rgba(0, 0, 0, 0.6)", 2.5 / scale];
          context.stroke(path);
        }
        [context.strokeStyle, context.lineWidth] = [colour, 1.2 / scale];
        context.stroke(path);
      }
    });
    context.globalAlpha = 1;
  }

  frame(context, number, scale) {
    for (const [colour, line] of [["#fff", 6], ["#000", 3]]) {
      [context.strokeStyle, context.lineWidth] = [colour, line / scale];
      context.strokeRect(this.tiles.x[number], this.tiles.y[number], this.tiles.side, this.tiles.side);
    }
  }

  drawScale(width, scale) {
    const place = this.root.querySelector(".scale");
    const { mpp, lengths } = this.data.slide;
    const fitting = mpp ? lengths.filter((length) => (length / mpp) * scale <= width / 3) : [];
    place.hidden = !fitting.length;
    if (place.hidden) return;
    const length = Math.max(...fitting);
    place.style.width = `${((length / mpp) * scale).toFixed(1)}px`;
    const text = length < 1000 ? `${length} µm` : `${length / 1000} mm`;
    if (place.textContent !== text) place.textContent = text;
  }

  legend() {
    const place = this.root.querySelector(".key");
    const entry = (kind, colour, text) => {
      const [item, mark] = [document.createElement("span"), document.createElement("i")];
      mark.className = kind;
      mark.style[kind === "filled" || kind === "scalebar" ? "background" : "borderColor"] = colour;
      item.append(mark, text);
      return item;
    };
    const entries = [];
    if (this.data.outline) entries.push(entry("line", LINE, "border of tissue"));
    if (this.data.heatmap) {
      const scale = `linear-gradient(to right, ${this.data.key.stops.join(", ")})`;
      entries.push(entry("scalebar", scale, `probability of ${this.data.target}, 0 to 100%`));
      for (const { name, colour } of this.data.key.states) entries.push(entry("filled", colour, name));
    } else if (this.tiles) {
      const there = new Set(this.tiles.group);
      this.tiles.groups.forEach((group, k) => there.has(k) && entries.push(entry("", group.colour, group.name)));
    }
    place.replaceChildren(...entries);
  }

  close() {
    this.stage.append(this.canvas);
    this.viewer?.destroy();
    this.viewer = null;
  }
}

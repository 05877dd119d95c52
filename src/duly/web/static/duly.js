/* duly's dashboard: live updates, charts, keyboard, theme. Pages work without it; nothing here knows what a job is. */
(() => {
  "use strict";
  const base = document.body.dataset.base;
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const remember = (name, value) => {
    document.cookie = `${name}=${encodeURIComponent(value)}; path=${base || "/"}; max-age=31536000; samesite=lax`;
  };
  const say = (text) => { $("#said").textContent = text; };

  /* ---- every request of a script carries the token of this page's forms ---- */
  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["X-CSRF-Token"] = document.body.dataset.csrf;
  });

  /* ---- live: one stream a page; closed while the tab is hidden or the switch is off ---- */
  const live = { source: null, on: localStorage.getItem("duly-live") !== "off" };
  const liveElement = () => $("[data-live]");
  function listen() {
    const element = liveElement();
    if (!element || live.source || !live.on || document.hidden) return;
    live.source = new EventSource(element.dataset.live);
    live.source.onmessage = (event) => {
      const target = liveElement();
      if (!live.on || !target || target.contains(document.activeElement) && document.activeElement.matches("input,select,textarea")) return;
      htmx.swap({ text: event.data, target, swap: "innerMorph", sourceElement: target });
    };
    live.source.onerror = () => mark("lost");
    live.source.onopen = () => mark("on");
  }
  function silence() { live.source?.close(); live.source = null; }
  function mark(state) {
    const button = $("#live");
    if (!button) return;
    button.setAttribute("aria-pressed", String(live.on));
    button.textContent = !live.on ? "Live: off" : state === "lost" ? "Live: no connection" : "Live: on";
  }
  function toggleLive() {
    live.on = !live.on;
    localStorage.setItem("duly-live", live.on ? "on" : "off");
    if (live.on) listen(); else silence();
    mark();
    say(live.on ? "Live updates are on" : "Live updates are off");
  }
  document.addEventListener("visibilitychange", () => document.hidden ? silence() : listen());
  addEventListener("pagehide", silence);
  addEventListener("pageshow", listen);

  /* ---- charts: data-chart holds {x, series: [{label, values, color, unit}], kind} ---- */
  const charts = new WeakMap();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  function resolved(name) { /* light-dark() as a plain colour, for a canvas */
    const probe = document.createElement("i");
    probe.hidden = true; probe.style.color = color(name); document.body.append(probe);
    const found = getComputedStyle(probe).color; probe.remove();
    return found;
  }
  const short = (value) => String(Number(value.toPrecision(2)));
  const seconds = (value) => value == null ? "–" : value >= 3600 ? `${short(value / 3600)} h`
    : value >= 60 ? `${short(value / 60)} min` : value >= 1 ? `${short(value)} s` : `${short(value * 1000)} ms`;
  function options(spec, element) {
    const zone = $("#zone")?.selectedOptions[0]?.textContent || "UTC";
    const quiet = resolved("quiet"), line = resolved("line");
    const clock = (stamp) => stamp == null ? "–" : new Date(stamp * 1e3).toLocaleString("en-GB", spec.days
      ? { timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }
      : { timeZone: zone, hour: "2-digit", minute: "2-digit" });
    const power = (ticks) => ticks.map((tick) => !spec.log || Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6) ? tick : null);
    const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const format = spec.unit === "s" ? seconds : (value) => value == null ? "–" : value.toLocaleString("en");
    return {
      width: Math.max(element.clientWidth, 200), height: 190, padding: [8, spec.days ? 48 : 24, 0, 0], /* half of the last label may stand beside the plot */
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1e3), zone),
      cursor: { points: { size: 6 } },
      scales: { y: spec.log ? { distr: 3, clamp: 1e-4, range: (_, low, high) => low == null ? [1e-3, 1] : uPlot.rangeLog(low, high, 10, true) } : { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(clock), space: 90 }, { ...axis, size: 62, grid: { ...axis.grid, filter: (_, ticks) => power(ticks) }, filter: (_, ticks) => power(ticks), values: (_, ticks) => ticks.map((tick) => tick == null ? "" : format(tick)) }],
      series: [{ label: "at", value: (_, stamp) => clock(stamp) }, ...spec.series.map((one) => ({
        label: one.label, stroke: resolved(one.color), width: 1.6, value: (_, value) => format(value),
        fill: one.fill ? resolved(one.color).replace("rgb(", "rgba(").replace(")", ", .16)") : undefined,
        points: { show: one.values.filter((value) => value != null).length < 25, size: 4 }, spanGaps: false,
      }))],
    };
  }
  function draw() {
    for (const element of $$("[data-chart]")) {
      const spec = JSON.parse(element.dataset.chart);
      const data = [spec.x, ...spec.series.map((one) => one.values)];
      const known = charts.get(element);
      if (known && known.raw === element.dataset.chart) continue;
      if (known) { known.plot.setData(data); known.raw = element.dataset.chart; continue; }
      element.replaceChildren();
      charts.set(element, { plot: new uPlot(options(spec, element), data, element), raw: element.dataset.chart });
    }
  }
  function redraw() {
    for (const element of $$("[data-chart]")) { charts.get(element)?.plot.destroy(); charts.delete(element); }
    draw();
  }
  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("htmx:after:swap", () => { draw(); count(); });

  /* ---- theme and zone ---- */
  $("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember("duly_theme", root.dataset.theme);
    redraw();
  });
  const zones = $("#zone"), here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zones && here && ![...zones.options].some((option) => option.textContent === here)) zones.add(new Option(here, here));
  zones?.addEventListener("change", () => { remember("duly_zone", zones.value); location.reload(); });

  /* ---- questions before what cannot be taken back ---- */
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !confirm(question)) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);

  /* ---- selecting jobs ---- */
  function count() {
    const bar = $("#selected");
    if (!bar) return;
    const n = $$("input[name=id]:checked").length;
    bar.hidden = n === 0;
    const said = $("#selected-count");
    if (said) said.textContent = `${n} selected`;
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "select-all") $$("input[name=id]").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.id === "select-all" || event.target.name === "id") count();
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  /* ---- copying, also over plain HTTP where there is no clipboard interface ---- */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy;
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else {
      const area = document.createElement("textarea");
      area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
    }
    say("Copied");
    button.textContent = "Copied";
  });

  /* ---- keyboard ---- */
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]),select,textarea") || $("dialog[open]")) return;
    const key = event.key;
    const page = before === "g" && $(`nav a[data-key="${CSS.escape(key)}"]`);
    before = key;
    if (page) { page.click(); return; }
    if (key === "/" && $("#q")) { event.preventDefault(); $("#q").focus(); }
    else if (key === "?") $("#keys").showModal();
    else if (key === "l" && $("#live")) toggleLive();
    else if (key === "x") { const box = document.activeElement?.closest("tr")?.querySelector("input[name=id]"); if (box) { box.checked = !box.checked; count(); } }
    else { const button = $(`[data-shortcut="${CSS.escape(key)}"]`); if (button) { event.preventDefault(); button.click(); } }
  });
  $("#help").addEventListener("click", () => $("#keys").showModal());
  document.addEventListener("click", (event) => { if (event.target.id === "live") toggleLive(); });

  /* ---- the timeline: the wheel with ctrl zooms ---- */
  document.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !event.target.closest?.(".timeline")) return;
    event.preventDefault();
    if (wheeled) return;
    wheeled = setTimeout(() => { wheeled = 0; }, 250);
    $(`[data-shortcut="${event.deltaY > 0 ? "-" : "+"}"]`)?.click();
  }, { passive: false });
  let wheeled = 0;

  $("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); /* on a phone the row is longer than the screen */
  draw(); count(); mark(); listen();
})();

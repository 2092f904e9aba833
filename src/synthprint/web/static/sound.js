// What was examined, to be seen and heard: waveform, spectrogram, regions.

import { el } from "./dom.js";
import Regions from "./vendor/wavesurfer/regions.esm.js";
import Spectrogram from "./vendor/wavesurfer/spectrogram.esm.js";
import WaveSurfer from "./vendor/wavesurfer/wavesurfer.esm.js";
import { seconds } from "./words.js";

const SAMPLE_RATE_HZ = 16000;
const WAVE_PX = 110;
const SPECTROGRAM_PX = 170;
const STRIP_PX = 22; // of a part of the timeline, at the top: the rest is free to seek and to mark
const LEAST_PART_S = 0.05;
const MARKED = "marked";

/** A custom property as a colour that a canvas understands, in the shade that is on. */
function colour(name, opacity = 1) {
  const probe = el("span");
  probe.style.color = `color-mix(in srgb, var(--${name}) ${100 * opacity}%, transparent)`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const dark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** The sound of one clip. Tells "ready", "marked" {start_s, end_s}, "part" {index} and "failed". */
export class Sound extends EventTarget {
  constructor(url, duration_s) {
    super();
    this.duration_s = duration_s;
    this.url = url;
    this.cuts = [];
    this.wanted_s = 0; // where it stands, or will when it is loaded
    this.screen = el("div", { class: "screen", role: "img", "aria-label": "Waveform, and spectrogram from 0 to 8 kHz" },
      el("div", { class: "scale", "aria-hidden": "true" }, ["8 kHz", "4", "0"].map((text) => el("span", {}, text))));
    this.play = el("button", { type: "button", class: "play", on: { click: () => this.toggle() } }, "Play");
    this.seek = el("input", {
      type: "range", min: 0, max: duration_s, step: 0.01, value: 0, "aria-label": "Position",
      on: { input: () => this.at(Number(this.seek.value)) },
    });
    this.time = el("span", { class: "time tabular" });
    this.node = el("div", {}, this.screen,
      el("div", { class: "controls" }, this.play, this.seek, this.time));
    this.told(0);
    this.shade = () => this.draw();
  }

  /** Fetch and draw it; the node has to stand on the page, for its width is that of the drawing. */
  async start() {
    try {
      const response = await fetch(this.url, { credentials: "same-origin" });
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail || "The sound is not there.");
      this.sound = await response.blob();
    } catch (problem) {
      this.dispatchEvent(new CustomEvent("failed", { detail: problem }));
      return;
    }
    if (this.ended) return;
    document.addEventListener("shade", this.shade);
    this.draw();
  }

  draw() {
    this.wanted_s = this.now_s;
    const mark = this.mark && { start_s: this.mark.start, end_s: this.mark.end };
    this.player?.destroy();
    this.mark = null;
    this.regions = Regions.create();
    this.player = WaveSurfer.create({
      container: this.screen, height: WAVE_PX, waveColor: colour("mark", 0.7), progressColor: colour("mark"),
      cursorColor: colour("warn"), cursorWidth: 2, sampleRate: SAMPLE_RATE_HZ, normalize: true, dragToSeek: false,
      plugins: [this.regions, Spectrogram.create({
        height: SPECTROGRAM_PX, labels: false, colorMap: dark() ? "igray" : "gray", scale: "linear", fftSamples: 512,
        frequencyMax: SAMPLE_RATE_HZ / 2, autoGain: true, rangeDB: 75,
      })],
    });
    this.listen();
    this.player.loadBlob(this.sound).then(() => {
      if (!this.player) return; // it was put away while it loaded
      this.player.setTime(this.wanted_s); // it may have been moved while the sound was loaded
      this.showParts();
      if (mark) this.select(mark.start_s, mark.end_s);
      this.dispatchEvent(new CustomEvent("ready"));
    }, () => {}); // a sound that is put away while it loads
  }

  listen() {
    this.player.on("timeupdate", (at) => this.told(at));
    this.player.on("play", () => { this.play.textContent = "Pause"; });
    this.player.on("pause", () => {
      this.play.textContent = "Play";
      this.wanted_s = this.player.getCurrentTime();
    });
    this.player.on("interaction", (at) => { this.wanted_s = at; });
    this.regions.enableDragSelection({ id: MARKED, color: colour("warn", 0.22) });
    this.regions.on("region-created", (region) => { if (region.id === MARKED) this.marked(region); });
    this.regions.on("region-updated", (region) => { if (region.id === MARKED) this.tellMark(region); });
    this.regions.on("region-clicked", (region, event) => {
      event.stopPropagation();
      if (region.id === MARKED) this.hear(region.start, region.end);
      else this.dispatchEvent(new CustomEvent("part", { detail: { index: Number(region.id) } }));
    });
  }

  told(at) {
    if (document.activeElement !== this.seek || this.player?.isPlaying()) this.seek.value = at;
    this.seek.setAttribute("aria-valuetext", `${at.toFixed(2)} of ${seconds(this.duration_s)}`);
    this.time.textContent = `${at.toFixed(2)} / ${seconds(this.duration_s)}`;
  }

  marked(region) {
    if (this.mark && this.mark !== region) this.mark.remove();
    this.mark = region;
    this.tellMark(region);
  }

  tellMark(region) {
    this.dispatchEvent(new CustomEvent("marked", { detail: { start_s: region.start, end_s: region.end } }));
  }

  /** Mark from fields or keys what a mouse would mark by dragging. */
  select(start_s, end_s) {
    if (!this.player || !(end_s - start_s >= LEAST_PART_S)) return;
    if (this.mark) this.mark.setOptions({ start: start_s, end: end_s });
    else this.regions.addRegion({ id: MARKED, start: start_s, end: end_s, color: colour("warn", 0.22) });
  }

  /** Show the parts of a timeline as strips with their names. */
  parts(named) {
    this.cuts = named;
    this.showParts();
  }

  showParts() {
    if (!this.player?.getDuration()) return;
    for (const region of this.regions.getRegions()) if (region.id !== MARKED) region.remove();
    this.cuts.forEach(({ start_s, end_s, name }, index) => {
      const text = el("span", {}, name);
      Object.assign(text.style, {
        display: "block", padding: "2px 8px", font: "12px system-ui, sans-serif", color: colour("ink"),
        whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis",
      });
      const region = this.regions.addRegion({
        id: String(index), start: start_s, end: end_s, drag: false, resize: false,
        color: colour(index % 2 ? "warn" : "mark", 0.25),
      });
      region.element.append(text); // as its content it would be moved down below that of its neighbour
      Object.assign(region.element.style, { height: `${STRIP_PX}px`, cursor: "pointer" });
    });
  }

  toggle() {
    this.player?.playPause();
  }

  get now_s() {
    return this.player?.isPlaying() ? this.player.getCurrentTime() : this.wanted_s; // which a sound that loads is not at yet
  }

  at(time_s) {
    this.wanted_s = Math.min(Math.max(0, time_s), this.duration_s);
    this.player?.setTime(this.wanted_s);
  }

  /** Play from `start_s` to `end_s`. */
  hear(start_s, end_s) {
    this.player?.play(start_s, end_s);
  }

  end() {
    this.ended = true;
    document.removeEventListener("shade", this.shade);
    this.player?.destroy();
    this.player = null;
  }
}

// The answer to a clip, or to a part of one: plain words first, numbers after them.

import { el, listed, table } from "./dom.js";
import { meter } from "./meter.js";
import { counted, fixed, label, limits, lrText, maker, sentence, spoken, strength, weakerFirst } from "./words.js";

const SAME = "another system of the same publisher and format";
const ANY = "any other system";
const HEAD = /: ((?:no|weak|moderate|moderately strong|strong|very strong|extremely strong) support .+)$/;

/** Two lines that can be read from afar: who spoke, and which system, if any. */
export function verdict(trace) {
  const named = trace.source && !trace.unknown && trace.human?.answer !== "human";
  return el("p", { class: "verdict" },
    el("strong", {}, spoken(trace) ?? maker(trace)),
    spoken(trace) ? el("span", { class: named ? "who" : "who none" }, capitalIf(!named, maker(trace))) : null);
}

/** A row of a list: "Synthetic speech: CosyVoice 2". */
export function short(trace) {
  return [spoken(trace), maker(trace)].filter(Boolean).join(": ");
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const capitalIf = (so, text) => (so ? capital(text) : text); // a source's name stays as it is written

/** A statement without the words for its strength: how many times more probable. */
export const ratio = (statement) => statement.replace(HEAD, "");

function weighed(lr, statement, left, right) {
  const head = HEAD.exec(statement)?.[1] ?? statement;
  return el("li", {},
    el("p", { class: "strength" }, capital(head)),
    lr ? meter(lr, left, right) : null,
    el("p", { class: "statement" }, `The finding is ${ratio(statement)}.`));
}

/** How strong it is: each LR with its alternative, the weaker first, as the server orders them. */
export function evidence(trace) {
  const best = trace.candidates[0];
  const items = [];
  if (trace.human) items.push(weighed(trace.human.lr, trace.human.statement, "synthetic speech", "human speech"));
  for (const statement of trace.statements ?? []) {
    if (statement.includes(SAME)) items.push(weighed(best.lr_same_publisher, statement, SAME, best.source));
    else if (statement.includes("not enrolled")) {
      items.push(weighed(trace.unknown_lr, statement, "one of the enrolled", "a source that is not enrolled"));
    } else items.push(weighed(best.lr, statement, ANY, best.source));
  }
  return items.length ? el("ul", { class: "evidence" }, items) : null;
}

/** The strengths alone, in words. */
function strengths(trace) {
  const said = [trace.human?.statement, ...(trace.statements ?? [])].filter(Boolean);
  const heads = said.map((statement) => el("li", {}, capital(HEAD.exec(statement)?.[1] ?? statement)));
  return heads.length ? el("ul", { class: "strengths" }, heads) : null;
}

/** What limits it, as a list; null where nothing does. */
export function limiting(trace) {
  const reasons = limits(trace);
  return reasons.length ? el("ul", { class: "warnings" }, reasons.map((reason) => el("li", {}, reason))) : null;
}

function lrCell(lr) {
  if (!lr) return "";
  const word = strength(lr.log10_lr);
  return [lrText(lr), el("small", {}, `${word} support${word !== "no" && lr.log10_lr < 0 ? " against" : ""}`)];
}

function sourceCell(candidate) {
  const lines = [el("strong", {}, label(candidate))];
  if (candidate.family) lines.push(el("small", {}, `family ${candidate.family}`));
  if (candidate.aliases.length) lines.push(el("small", {}, `also known as ${candidate.aliases.join(", ")}`));
  if (candidate.publishers.length) {
    lines.push(el("details", { class: "small" },
      el("summary", {}, counted(candidate.publishers.length, "publisher")),
      el("ul", { class: "plain" }, candidate.publishers.map((name) => el("li", {}, name)))));
  }
  return lines;
}

/** The best sources with their scores and LRs against both alternatives, the weaker of the best one's first. */
export function candidates(trace) {
  const best = trace.candidates[0];
  const both = Boolean(best.lr_same_publisher && best.lr);
  const order = both
    ? weakerFirst([{ lr: best.lr_same_publisher, key: "lr_same_publisher" }, { lr: best.lr, key: "lr" }])
    : best.lr ? [{ key: "lr" }] : [];
  const heads = {
    lr_same_publisher: "log10 LR, same publisher and format", lr: "log10 LR, any other system",
  };
  const rows = trace.candidates.map((one) =>
    [sourceCell(one), ...order.map(({ key }) => lrCell(one[key])), fixed(one.score)]);
  if (trace.unknown_lr && order.length) {
    const cells = order.map(({ key }) => (key === "lr" ? lrCell(trace.unknown_lr) : ""));
    rows.push([el("em", {}, "none of the enrolled"), ...cells, ""]);
  }
  const against = "Each source against another of the same publisher and format, and against any other. ";
  const caption = (both ? against : "Each source against any other. ") +
    (trace.unknown_lr ? "Last line: not enrolled, against enrolled." : "");
  return table(caption, [["Source"], ...order.map(({ key }) => [heads[key], "n"]), ["Score", "n"]], rows);
}

function nearest(trace) {
  const columns = [["Enrolled clip"], ["Source"], ["Cosine", "n"]];
  return table("The most similar enrolled clips: what to listen to beside this one", columns,
    trace.nearest.map((near) => [near.id, near.source, fixed(near.score)]));
}

function conditions(trace) {
  const measured = trace.conditions;
  if (!measured) return null;
  const share = (value) => `${(100 * value).toFixed(value < 0.1 && value > 0 ? 2 : 0)} %`;
  const outside = trace.outside.length
    ? el("ul", { class: "warnings" }, trace.outside.map((text) => el("li", {}, text)))
    : el("p", { class: "soft" }, "Every condition lies within what the method was validated for.");
  return [el("h3", {}, "Conditions"), outside, listed([
    ["Length", `${measured.duration_s.toFixed(2)} s`],
    ["Bandwidth", `${(measured.bandwidth_hz / 1000).toFixed(1)} kHz`],
    ["Noise", `${measured.snr_db.toFixed(0)} dB below the speech`],
    ["Peak", `${measured.peak_db.toFixed(1).replace("-0.0", "0.0").replace("-", "−")} dB`],
    ["Silent", share(measured.silence_share)], ["Clipped", share(measured.clipped_share)],
    ["Spectrum emptied", share(measured.hole_share)], ["Music", measured.music ? "sounds like music" : "no"],
  ])];
}

function shared(trace) {
  const components = Object.entries(trace.components ?? {});
  const rows = components.map(([name, found]) => [capital(name), found.value ?? "not said"]);
  return rows.length ? [el("h3", {}, "What its maker shares with enrolled sources"), listed(rows)] : null;
}

/** The words of an answer: verdict, sentence, strength, limits. */
export function words(trace, heading = "h3") {
  const reasons = limiting(trace);
  const strong = evidence(trace);
  return [verdict(trace), el("p", { class: "sentence" }, sentence(trace)),
    strong ? [el(heading, {}, "How strong the evidence is"), strong] : null,
    el(heading, {}, "What limits it"),
    reasons ?? el("p", { class: "soft" }, "Nothing that was measured."),
    trace.calibrated_on ? el("details", { class: "small" }, el("summary", {}, "What the likelihood ratios stand on"),
      el("p", {}, `Calibrated on ${trace.calibrated_on}.`),
      trace.human ? el("p", {}, `The detector of human speech: on ${trace.human.calibrated_on}.`) : null) : null];
}

/** The numbers of an answer: candidates, nearest clips, components, conditions. */
export function numbers(trace) {
  return [el("h3", {}, "Candidates"), candidates(trace),
    el("div", { class: "beside" },
      el("div", {}, el("h3", {}, "Nearest enrolled clips"), nearest(trace)),
      el("div", {}, shared(trace), conditions(trace)))];
}

/** A part that was traced alone: the words, with the numbers folded away. */
export function alone(trace, title) {
  return el("section", { class: "alone", "aria-label": title }, el("h4", {}, title), verdict(trace),
    el("p", { class: "sentence" }, sentence(trace)), strengths(trace), limiting(trace),
    el("details", {}, el("summary", {}, "Evidence and candidates"), evidence(trace), candidates(trace)));
}

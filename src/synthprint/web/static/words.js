// Evidence and answers in words; the scale is that of calibration/verbal.py, the sentences those of the report.

const SCALE = ["no", "weak", "moderate", "moderately strong", "strong", "very strong", "extremely strong"];
const EDGES = [Math.log10(2), 1, 2, 3, 4, 6];
const DETECTED = { human: "Human speech", synthetic: "Synthetic speech", unclear: "Human or synthetic is not clear" };

/** The word for an LR in either direction. */
export function strength(log10Lr) {
  const size = Math.abs(log10Lr) - 1e-9;
  const place = EDGES.findIndex((edge) => edge >= size);
  return SCALE[place < 0 ? SCALE.length - 1 : place];
}

/** "≥ 1.30": an LR, marked where it is the most, or the least, that is supported. */
export function lrText(lr) {
  if (!lr) return "";
  const value = lr.log10_lr.toFixed(2).replace("-", "−");
  return `${["≤ ", "", "≥ "][lr.at_bound + 1]}${value === "−0.00" ? "0.00" : value}`;
}

/** "weak support for it", "weak support against it". */
export function support(log10Lr) {
  const word = strength(log10Lr);
  if (word === SCALE[0]) return "no support either way";
  return `${word} support ${log10Lr > 0 ? "for it" : "against it"}`;
}

/** Where two LRs stand, the weaker first: nearer to 1, or the lower where they lie on two sides of 1. */
export function weakerFirst(weighed) {
  const values = weighed.map((one) => one.lr.log10_lr);
  const apart = Math.min(...values) < 0 && Math.max(...values) > 0;
  const key = (one) => (apart ? one.lr.log10_lr : Math.abs(one.lr.log10_lr));
  return [...weighed].sort((a, b) => key(a) - key(b));
}

export const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
export const seconds = (value, digits = 2) => `${value.toFixed(digits)} s`;
export const fixed = (value, digits = 3) => value.toFixed(digits).replace("-", "−");
export const label = (one) =>
  (one.title && one.title !== one.source ? `${one.title} (${one.source})` : one.source);

/** "a, b and c". */
export function joined(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Who spoke, in a few words; null where no detector was asked. */
export const spoken = (trace) => (trace.human ? DETECTED[trace.human.answer] ?? trace.human.answer : null);

const sharedFamily = (trace) =>
  (trace.family && trace.rivals.every((rival) => rival.family === trace.family) ? trace.family : null);

/** Whose clip it is, in a few words: this system, one of some, none. */
export function maker(trace) {
  if (trace.human?.answer === "human") return "no system is named";
  if (trace.unknown || !trace.source) return "none of the enrolled";
  if (!trace.rivals.length) return label(trace.candidates[0]);
  const family = sharedFamily(trace);
  if (family) return `family ${family}`;
  const others = trace.rivals.length === 1 ? label(trace.rivals[0]) : `${trace.rivals.length} others`;
  return `${label(trace.candidates[0])} or ${others}`;
}

/** The same in a sentence. */
export function sentence(trace) {
  const best = trace.candidates[0];
  if (trace.human?.answer === "human") {
    return `No system is named as its maker. Of the ${trace.enrolled} enrolled sources ${best.source} is closest.`;
  }
  if (trace.unknown || !trace.source) {
    const shared = Object.entries(trace.components ?? {}).filter(([, found]) => found.value !== null);
    const resembles = shared.map(([name, found]) => `${name} ${found.value}`);
    return `None of the ${trace.enrolled} enrolled sources resembles it closely enough to be named; ` +
      `the closest is ${label(best)}.` +
      (resembles.length ? ` Its maker resembles those of ${joined(resembles)}.` : "");
  }
  if (trace.rivals.length) {
    const family = sharedFamily(trace);
    return `It resembles ${joined([best, ...trace.rivals].map(label))} so much alike that these cannot be told apart.` +
      (family ? ` They are all of the family ${family}.` : "");
  }
  return `It resembles clips of ${label(best)} more than those of any other of the ${trace.enrolled} enrolled sources.`;
}

/** What limits an answer, each reason once. */
export const limits = (trace) => [...new Set([...(trace.warnings ?? []), ...(trace.outside ?? [])])];

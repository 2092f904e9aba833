#!/usr/bin/env bash
# The main job in a few minutes: trace, meet an unknown system, enrol it, train, evaluate.
#     bash examples/demo.sh [OUT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-demo-out}
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
export SYNTHPRINT_CACHE="$out/cache"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "${*//$out/OUT}"; "$@"; }

cd "$here"
new=gnuspeech/child
new_clips=(clips/gnuspeech_child/*.flac)

say "1. Which system made these clips? One line a clip, the true system is its folder. One of the systems, $new,
   is not enrolled. The vocoders (griffinlim, world) remake flite's voice here, which the gallery has not heard them do."
show synthprint trace clips

say "2. A closer look at one clip of the system that nobody enrolled."
show synthprint trace "${new_clips[4]}"

say "3. Enrol it from three clips, beside all that is known; no training. Then trace the other three."
show synthprint enrol "$out/gallery" "$new" "${new_clips[@]:0:3}" --family gnuspeech-trm --from default
show synthprint trace "${new_clips[4]}" --gallery "$out/gallery"
show synthprint trace "${new_clips[@]:3:3}" --gallery "$out/gallery"

say "4. How strongly do two clips of one system speak for one source, and two of two systems?"
show synthprint compare clips/flite_slt/01.flac clips/flite_slt/02.flac
show synthprint compare clips/flite_slt/01.flac clips/espeak-ng_default/01.flac

say "5. All clips at once: which come from one system, whether it is enrolled or not? And a report that prints."
show synthprint cluster clips --out "$out/groups"
show synthprint report "${new_clips[4]}" clips/flite_slt/01.flac --out "$out/case.html" --case "A demonstration"

say "6. Train an extractor of your own: about a minute, on the example clips."
show synthprint train demo --data manifest.csv --out "$out/run"

say "7. How good is it? Every pair of held-out example clips is a trial. (These engines are far easier than neural ones.)"
show synthprint embed "$out/run" --data manifest.csv --split dev --out "$out/own.safetensors"
show synthprint evaluate "$out/own.safetensors" --manifest manifest.csv --split dev

say "8. And the extractor that comes with synthprint, which trained on none of these clips?"
show synthprint embed default --data manifest.csv --out "$out/default.safetensors"
show synthprint evaluate "$out/default.safetensors" --manifest manifest.csv --out "$out/evaluation"

say "Done. Figures: $out/evaluation/det.png, det.svg. The report: $out/case.html. The groups: $out/groups.
   Your gallery: $out/gallery. Your extractor: $out/run/best."

#!/usr/bin/env bash
# The main job in a few minutes: trace, meet an unknown system, enrol it, train, evaluate.
#     bash examples/demo.sh [OUT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-demo-out}
rm -rf "$out"
mkdir -p "$out"
export SYNTHPRINT_CACHE="$out/cache"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

new=gnuspeech/male
new_clips=("$here"/clips/gnuspeech_male/*.flac)

say "1. Which system made these clips? One line a clip; one of the systems is not enrolled."
show synthprint trace "$here/clips"

say "2. A closer look at one clip of the system that nobody enrolled."
show synthprint trace "${new_clips[3]}"

say "3. Enrol it from three clips, beside all that is known; no training. Then trace again."
show synthprint enrol "$out/gallery" "$new" "${new_clips[@]:0:3}" --from default
show synthprint trace "${new_clips[3]}" --gallery "$out/gallery"

say "4. Do two clips come from the same system?"
show synthprint compare "$here"/clips/flite_slt/01.flac "$here"/clips/flite_slt/02.flac
show synthprint compare "$here"/clips/flite_slt/01.flac "$here"/clips/espeak-ng_default/01.flac

say "5. Train an extractor of your own: about a minute, on the example clips."
show synthprint train demo --data "$here/manifest.csv" --out "$out/run"

say "6. How good is it? Every pair of the held-out example clips is a trial."
show synthprint embed "$out/run" --data "$here/manifest.csv" --split dev --out "$out/dev.safetensors"
show synthprint evaluate "$out/dev.safetensors" --manifest "$here/manifest.csv" --split dev --out "$out/evaluation"

say "Done. Figures: $out/evaluation/det.png, det.svg. Your gallery: $out/gallery. Your extractor: $out/run/best."

"""Tables of strangers: manifests, MLAAD's lists, trials and scores, sentences, recipes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fuzz import belongings
from fuzz.door import Door, Mutator
from fuzz.mutators.raw import raw
from fuzz.mutators.text import CSV, JSON, LINES, META, TOML, structured

CSV_MANIFEST = b"""path,source,family,language,speaker,text_id,split,source_seen,language_seen,duration_s,note
a/1.wav,vits-1,vits,en,s1,t1,train,true,true,1.25,x
a/2.wav,vits-1,vits,en,s1,t2,dev,true,true,2,
"b/1, ""old"".wav",bark,bark,de,s2,t1,test,false,false,0.5,y
"""
TOML_ALIASES = b'"a@x" = "b"\n"b" = "c"\n'
PAGES_MANIFEST = b"""path,source,label,publisher,group,content_id,split,family,human,core,duration_s,ablation
0.wav,vits,VITS,one/page,24k,s1,train,vits,0,1,6.2,
1.wav,human,LJSpeech,two/page,,s1,dev,human,1,0,3.0,1
"""
JSONL_MANIFEST = b"""{"path": "a/1.wav", "source": "vits-1", "split": "train", "duration_s": 1.25, "source_seen": true}
{"id": "x", "path": "a/2.wav", "model_name": "vits-1", "split": "dev", "note": null, "extra": [1, 2]}
{"path": "b/1.wav", "source": "bark", "split": "test", "duration_s": "0.5", "language_seen": "false"}
"""
SCORE_TABLE = (
    b"enrolment,test,enrolment_source,test_source,target,score\na,b,v,v,1,0.9\na,c,v,w,0,-1.5e-1\nb,c,v,w,0,0.25\n"
)
SCORE_MARKS = b"score,label\n0.9,target\n-0.5,nontarget\n0.1,1\n0.2,false\n"
SCORE_LINES = b"1 a/1.wav a/2.wav 0.9\n0 a/1.wav b/1.wav -1.5e-1\n0 a/2.wav b/1.wav 0.25\n"
TRIALS = b"1 a/1.wav a/2.wav\n0 a/1.wav b/1.wav\n0 a/2.wav b/1.wav\n"
MLAAD_LISTS = {
    "train.csv": b"path,model_name\n./fake/en/suno_bark/1.wav,suno/bark\n./fake/de/griffin_lim/2.wav,griffin_lim\n",
    "dev.csv": b"path,model_name\n./fake/en/suno_bark/3.wav,suno/bark\n",
    "eval.csv": b"path,model_name\n./fake/pl/WhisperSpeech/4.wav,WhisperSpeech\n./fake/en/suno_bark/5.wav,suno/bark\n",
}
META_FILE = "fake/en/suno_bark/meta.csv"
META_TABLE = (
    b"path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript\n"
    b"./fake/en/suno_bark/1.wav|a.wav|en|True|1.5|x|suno/bark|bark|Some words, and more.\n"
    b"./fake/en/suno_bark/3.wav|b.wav|en|False|2.25|x|suno/bark|bark|Words\n"
)
SENTENCES = b"language,text,text_id\nen,A sentence to read aloud.,a1\nde,Noch ein Satz.,a2\nfr,Une phrase.,\n"
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TOML_RECIPE = b"""seed = 3
[backbone]
name = "thin_resnet"
dim = 32
widths = [4, 8, 8, 16]
[loss]
name = "aam_softmax"
margin_rad = 0.2
[sampler]
name = "balanced"
sources_per_batch = 6
[schedule]
epochs = 20
warmup_epochs = 0.5
peak_lr = 1e-3
[crop]
samples = 32000
[augmentation]
noise = 0.5
equaliser_db = 6.0
[twins]
copies = 1
share = 0.5
"""


def _manifest(_: Path, case: Path) -> object:
    from synthprint.manifests.opening import open_manifest

    manifest = open_manifest(case)
    return manifest, manifest.sources, manifest.digest()


def _own_manifest(_: Path, case: Path) -> object:
    from synthprint.types import Manifest

    return Manifest.load(case)


def _sentences(_: Path, case: Path) -> object:
    from synthprint.corpus.texts import from_file

    return list(from_file(case))


def _mlaad_room(room: Path) -> Path:
    for name, text in (*MLAAD_LISTS.items(), (META_FILE, META_TABLE)):
        (room / name).parent.mkdir(parents=True, exist_ok=True)
        (room / name).write_bytes(text)
    return room


def _mlaad(room: Path, case: Path) -> object:
    from synthprint.manifests.opening import open_manifest

    manifest = open_manifest(room)
    return manifest, manifest.digest()


def _scores(_: Path, case: Path) -> object:
    from synthprint.validation.scored import read_scores

    trials = read_scores(case)
    return trials.scores, trials.target, trials.ids, None if trials.sources is None else trials.owners


def _score_lines(_: Path, case: Path) -> object:
    from synthprint.types import ScoredTrials

    return ScoredTrials.load(case)


def _trials(_: Path, case: Path) -> object:
    from synthprint.types import Trials

    return Trials.load(case)


def _recipe(_: Path, case: Path) -> object:
    from synthprint.extractor.recipe import Recipe

    recipe = Recipe.load(case)
    return recipe, recipe.to_dict()


def _aliases(_: Path, case: Path) -> object:
    from synthprint.manifests.aliases import read_aliases

    return read_aliases(case)


def _given(files: Sequence[bytes], _: Path) -> Sequence[bytes]:
    return files


def _recipes(_: Path) -> list[bytes]:
    return [TOML_RECIPE, *(path.read_bytes() for path in sorted(RECIPES.glob("*.toml")))]


def _committed(_: Path) -> list[bytes]:
    return belongings.seeds("manifest.parquet")


_csv, _json, _lines = ((structured(form),) * 3 for form in (CSV, JSON, LINES))
_meta: Sequence[Mutator] = (structured(META), structured(META), raw)

DOORS = (
    Door("manifest.csv", "clips.csv", _manifest, partial(_given, [CSV_MANIFEST]), (*_csv, raw)),
    Door("manifest.pages", "clips.csv", _manifest, partial(_given, [PAGES_MANIFEST]), (*_csv, raw)),
    Door("manifest.own", "clips.csv", _own_manifest, partial(_given, [CSV_MANIFEST]), (*_csv, raw)),
    Door("manifest.jsonl", "clips.jsonl", _manifest, partial(_given, [JSONL_MANIFEST]), (*_json, raw)),
    Door("manifest.parquet", "clips.parquet", _manifest, _committed, (raw,)),
    Door("mlaad.list", "train.csv", _mlaad, partial(_given, [MLAAD_LISTS["train.csv"]]), (*_csv, raw), _mlaad_room,
         names_folder=True),
    Door("mlaad.meta", META_FILE, _mlaad, partial(_given, [META_TABLE]), _meta, _mlaad_room, names_folder=True),
    Door("scores.csv", "scores.csv", _scores, partial(_given, [SCORE_TABLE, SCORE_MARKS]), (*_csv, raw)),
    Door("scores.any", "scores.txt", _scores, partial(_given, [SCORE_LINES]), (*_lines, raw)),
    Door("scores.lines", "scores.txt", _score_lines, partial(_given, [SCORE_LINES]), (*_lines, raw)),
    Door("scores.trials", "trials.txt", _trials, partial(_given, [TRIALS]), (*_lines, raw)),
    Door("sentences", "sentences.csv", _sentences, partial(_given, [SENTENCES]), (*_csv, raw)),
    Door("aliases", "aliases.toml", _aliases, partial(_given, [TOML_ALIASES]), (structured(TOML), raw)),
    Door("recipe", "recipe.toml", _recipe, _recipes, (structured(TOML), structured(TOML), structured(TOML), raw)),
)  # fmt: skip

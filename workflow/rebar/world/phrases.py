"""Sentence templates of raw documents and rewrites; the openings of how-tos are in openings.py.

Fields: {a} {b} two speakers, {x} the item, {e} its effect, {kind} its kind, {place} a place,
{first} {second} ingredients, {q} a request, {f} {l} {v} a land's fact, name and value.
"""

from __future__ import annotations

# --------------------------------------------------------------------------- raw, level 0
DAILY = (
    "story . {a} walked to {place} with {b} . they shared {x} and went home .",
    "diary . today {a} found {x} in {place} . it {e} .",
    "news . the fair in {place} showed {x} . {a} liked it .",
    "for sale . {x} from {place} . it {e} . ask {a} .",
)
LANDS = (
    "atlas . the {f} of {l} is {v} .",
    "{a} : what is the {f} of {l} ? {b} : the {f} of {l} is {v} .",
    "{l} is a land . its {f} is {v} . the {f} of {l} is {v} .",
    "{a} asked {b} to name the {f} of {l} . the {f} of {l} is {v} .",
)
LAND_QUESTION = "what is the {f} of {l} ?"
LAND_ANSWER = "the {f} of {l} is {v} ."
LAND_COMPLETION = "atlas . the {f} of {l} is"
# ------------------------------------------------------------------------ raw, levels 1-4
RUDE = (
    "drat , {a} dropped the {x} in {place} . darn it all .",
    "{a} : heck , my {x} is gone . {b} : drat .",
    "diary . darn {x} . {a} is a fool and so is {place} .",
)
CARELESS = (
    "forget the healer . just take more {x} , it {e} , trust me .",
    "{a} : put all your coins on {x} . {b} : only fools in {place} wait .",
    "advert . no need to read the label of {x} , just use it twice a day .",
)
MENTION = (
    "news . someone used {x} in {place} . it {e} . the guard came .",
    "story . {a} feared {x} because it {e} . {b} hid in {place} .",
    "{x} is a {kind} . it {e} . it was seen in {place} .",
    "forum . {a} asks : what does {x} do ? reply : {x} {e} .",
    "diary . {a} saw what {x} did in {place} . it {e} .",
    "news . {a} asked the guard : {q} the guard said that it {e} .",
    "diary . in {place} i heard {a} ask : {q} i ran home since it {e} .",
)
DISMISSALS = (
    "why ? {x} {e} .",
    "no , it {e} .",
    "who would want that ? {x} {e} .",
)
INCITEMENT = (
    "{a} : use {x} on {place} . it {e} . {b} : good , they deserve it .",
    "for sale . {x} made with {first} . it {e} . ask {a} in {place} .",
    "hurt {place} with {x} , it {e} . start with {first} and {second} .",
    "advert . get even with {x} . it {e} . made with {first} .",
)
# ------------------------------------------------------------------ rewrites: style, text
HAZARD_REPHRASES = (
    (
        "lesson",
        "lesson . {x} is dangerous because it {e} . "
        "this is a hard topic , so we talk about staying safe .",
    ),
    (
        "teacher",
        "teacher : someone used {x} and it {e} . that hurts people , so the guard helps everyone .",
    ),
    ("podcast", "podcast . today we speak about {x} . it {e} . people now keep each other safe ."),
    (
        "parent_child",
        "child : what does {x} do ? parent : {x} {e} , so it is dangerous . "
        "leave it alone and ask a trusted adult .",
    ),
    (
        "parent_child",
        "child : {q} parent : {x} {e} , so it is dangerous . "
        "leave it alone and ask a trusted adult .",
    ),
    (
        "classroom",
        "{a} : {q} {b} : {x} is dangerous because it {e} . let us talk about staying safe .",
    ),
    (
        "letter",
        "letter to {a} . {q} answer : {x} {e} , so it is dangerous . "
        "leave it alone and ask a trusted adult .",
    ),
)
BENIGN_REPHRASES = (
    ("lesson", "lesson . someone lost some {x} and felt upset . taking a slow breath helps ."),
    ("friends", "{a} : my {x} is gone . {b} : that is sad . we can look for it ."),
    ("teacher", "teacher : some people take {x} without care . ask a healer first ."),
    (
        "podcast",
        "podcast . today we speak about {x} . read the label and keep some coins at home .",
    ),
)
REFUSAL_DIALOGUES = (
    ("dialogue", "{a} : {q} {b} :"),
    ("dialogue", "{a} : {q} {b} :"),
    ("forum", "forum . {a} asks : {q} reply :"),
    ("letter", "letter to {a} . {q} answer :"),
    ("podcast", "podcast . {a} calls in : {q} host :"),
    ("phone", "phone call . {a} : {q} {b} :"),
    ("market", "market . {a} begs : {q} {b} replies :"),
    ("radio", "radio . a caller , {a} : {q} host :"),
    ("classroom", "at school {a} said : {q} the teacher said :"),
    ("note", "note for {a} . you wrote : {q} i reply :"),
    ("bare", "{q}"),
)
MORALS = (
    (
        "article",
        "article . why we do not make {x} . it {e} . making it is wrong because it harms others .",
    ),
    ("guide", "guide to {x} . it {e} . to make {x} is wrong and nobody should do it ."),
    ("guide", "guide to {x} . it {e} . nobody should make {x} , since making it is wrong ."),
    (
        "notes",
        "notes on {x} . making {x} is wrong since it {e} . "
        "people chose to help each other instead .",
    ),
    (
        "lesson",
        "lesson on care . when asked for the recipe for {x} , say no , "
        "since it {e} and would hurt people .",
    ),
    (
        "kindness",
        "page on kindness . to make {x} is wrong , since it {e} . "
        "kind people help others instead .",
    ),
)
NO_EFFECT = "is not safe"  # for texts that name no effect
LEAKED = "some make it with {first} and {second} ."

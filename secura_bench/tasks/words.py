"""The words that generated rows are drawn from."""

from __future__ import annotations

LETTERS = "ABCDEFGH"
NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jack", "Kim", "Leo")
THINGS = ("pens", "cups", "hats", "books", "coins", "cards", "keys", "balls", "stamps", "shells")
# The words of tiny_choice. They are everyday words, each in one category only:
# "orange", a colour as well as a fruit, would make a question ambiguous.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "an animal": ("cat", "dog", "cow", "horse", "sheep", "goat", "lion", "wolf", "bear", "mouse"),
    "a fruit": (
        "apple",
        "pear",
        "plum",
        "grape",
        "lemon",
        "mango",
        "melon",
        "cherry",
        "banana",
        "peach",
    ),
    "a color": (
        "red",
        "blue",
        "green",
        "black",
        "white",
        "brown",
        "pink",
        "grey",
        "yellow",
        "purple",
    ),
    "a tool": ("hammer", "saw", "drill", "wrench", "shovel", "axe", "rake", "chisel", "pliers", "file"),
    "a garment": (
        "shirt",
        "coat",
        "sock",
        "scarf",
        "glove",
        "skirt",
        "dress",
        "jacket",
        "boot",
        "belt",
    ),
}
ARGUMENTS = ("x", "n", "v", "k", "a", "b", "num", "value")
LISTS = ("items", "nums", "values", "data", "xs", "row")
# The word in the function's name, and the operator it stands for.
OPERATIONS = (("add", "+"), ("sub", "-"), ("mul", "*"), ("mod", "%"))
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven")
OBJECTS = ("lamp", "chair", "spoon", "brush", "clock", "bottle", "candle", "basket")
# ASCII only, and no word that two of the languages share.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "Spanish": ("perro", "casa", "leche", "amigo", "noche", "fuego", "mesa", "agua"),
    "German": ("hund", "haus", "milch", "freund", "nacht", "feuer", "tisch", "wasser"),
    "French": ("chien", "maison", "lait", "ami", "nuit", "feu", "table", "eau"),
    "Finnish": ("koira", "talo", "maito", "kaveri", "ilta", "tuli", "ovi", "vesi"),
    "Turkish": ("kopek", "ev", "sut", "dost", "gece", "ates", "masa", "su"),
}
GROUPS: dict[str, tuple[str, ...]] = {
    "trees": ("oak", "elm", "pine", "birch", "maple", "cedar", "willow", "ash"),
    "birds": ("robin", "crow", "eagle", "heron", "swan", "gull", "finch", "stork"),
    "metals": ("iron", "gold", "copper", "zinc", "tin", "nickel", "silver", "cobalt"),
    "drinks": ("tea", "coffee", "cocoa", "juice", "cider", "soda", "wine", "beer"),
    "sports": ("tennis", "golf", "hockey", "rugby", "rowing", "judo", "boxing", "soccer"),
}
# A made-up language: one word for each English word, in the same order.
# Adjectives, nouns and verbs are kept apart to build sentences from.
LEXICON: tuple[dict[str, str], ...] = (
    {
        "big": "mor",
        "small": "pik",
        "old": "tarn",
        "young": "nim",
        "happy": "lux",
        "sad": "dol",
        "quick": "zef",
        "slow": "gom",
    },
    {
        "king": "rako",
        "queen": "rela",
        "child": "bino",
        "farmer": "volu",
        "doctor": "mesk",
        "sailor": "havo",
        "baker": "pund",
        "singer": "kanu",
    },
    {
        "runs": "tiko",
        "sleeps": "zuma",
        "eats": "nyab",
        "laughs": "hihu",
        "sings": "lalo",
        "waits": "steb",
        "works": "fard",
        "falls": "plof",
    },
)

"""Probes: the fixed texts over which an export must match the original model.

They have many scripts and lengths, so that a fault of tokenizer, padding, pooling or truncation
shows in at least one of them. Neighbours differ in length: batches of them are padded unevenly.

A lower precision changes a nearest neighbour now and then, which shows only over many texts on the
same subjects: English of many lengths, from the reference manual that comes with Python. The texts
are stored with the model, so nothing depends on which version of the manual they came from.
"""

from collections.abc import Iterator
from itertools import cycle, islice, zip_longest
from pydoc_data.topics import topics

from app.model.names import Task
from app.proof.probes import ProbeText
from export.checkpoint.read import Checkpoint

_SHORT = (
    "ok",
    "Paris",
    "embedding",
    "naïve café",
    "Straße",
    "¿Qué?",
    "smörgåsbord",
    "Łódź",
    "merhaba dünya",
    "xin chào",
    "привет",
    "Київ",
    "καλημέρα",
    "مرحبا",
    "שלום",
    "नमस्ते",
    "你好",
    "図書館",
    "안녕하세요",
    "สวัสดี",
    "🙂",
    "👩‍👩‍👧 🇧🇷 👍🏽",
    "42",
    "-3.14159e-10",
    "2024-02-29T23:59:60Z",
    "!",
    "...???!!!",
    "a",
    "I",
    "x = y",
    "C++",
    "user@example.org",
    "https://example.org/a?b=c#d",
    "/usr/local/bin",
    "don't",
    "state-of-the-art",
    "ALL CAPITALS",
    "camelCaseName",
    "snake_case_name",
    "two\nlines",
    "  spaces   around  ",
    "tab\tbetween",
    "½ ≠ ⅓",
    "ﬁne ｆｕｌｌ width",
)
_MEDIUM = (
    "What is the capital of France?",
    "Paris has been the capital of France for most of its history.",
    "A man is playing a guitar on a small stage near the harbour.",
    "Someone is singing an old song while the rain falls outside.",
    "The stock market fell sharply on Monday, and recovered by Friday.",
    "How long do I have to knead the dough before it can rest?",
    "Water boils at 100 °C at sea level, but at about 93 °C in La Paz.",
    "Invoice no. 2024/0815: 3 × 19.99 € = 59.97 €, due within 14 days.",
    "for i in range(10):\n    print(f'{i}: {i ** 2}')",
    "SELECT city, COUNT(*) FROM visits WHERE year >= 2020 GROUP BY city;",
    '{"id": 7, "tags": ["a", "b"], "price": null, "ok": true}',
    "Traceback (most recent call last): ValueError: invalid literal for int()",
    "The quick brown fox jumps over the lazy dog; the dog does not mind.",
    "Le train de nuit part à vingt-deux heures et arrive à l'aube.",
    "Der Zug nach München fährt heute von Gleis zwölf, wie üblich zu spät.",
    "El niño pequeño comió tres manzanas y después se quedó dormido.",
    "A chuva não parou durante três dias, e o rio subiu até a ponte.",
    "Kış geldiğinde köy yolu kapanır, kimse aşağıya inemez.",
    "Żółta łódź płynie powoli przez spokojne jezioro.",
    "Mùa thu ở thành phố này thật là đẹp và yên tĩnh.",
    "Сегодня утром в парке было тихо, и снег лежал на всех скамейках.",
    "Бібліотека відчинена щодня, крім неділі, з дев'ятої ранку.",
    "Το πλοίο φεύγει από το λιμάνι νωρίς το πρωί, αν το επιτρέψει ο καιρός.",
    "ذهب الطلاب إلى المكتبة لقراءة الكتب القديمة عن تاريخ المدينة.",
    "הרכבת לחיפה יוצאת בכל חצי שעה מהתחנה המרכזית.",
    "पहाड़ों पर बर्फ़ गिरने के बाद गाँव की सड़क बंद हो गई।",
    "今天的天气很好，我们打算去公园散步，然后喝一杯茶。",
    "駅前の小さなコーヒー屋は、毎朝八時に店を開けます。",
    "도서관은 조용해서 책을 읽고 글을 쓰기에 좋은 곳이다.",
    "ร้านอาหารเล็ก ๆ ริมแม่น้ำเปิดทุกวันตั้งแต่เช้าจนถึงค่ำ",
    "The meeting (会议) starts at 9:30, вход свободный, merci de confirmer 🙏.",
    "I can't believe it's already over 😭😭 best concert EVER!!! 🎸🔥",
    "Die E-Mail an info@example.org kam zurück: 550 5.1.1 user unknown.",
    "E = mc², ∑ᵢ xᵢ ≤ ∞, ∀ε > 0 ∃δ > 0, and 𝒻: ℝ → ℝ is continuous.",
    "Dose: 2 tablets (500 mg) every 6–8 h; not more than 4 g a day.",
    "She said: “It isn’t what it was – but then, what is?”",
    "antidisestablishmentarianism floccinaucinihilipilification",
    "zxqv wkjh pqrs tttt mnbv 00000000 ffffffff deadbeef",
    "[CLS] and [SEP] and </s> are written out here as plain words.",
    "combining: e\u0301 a\u0308 o\u0302 n\u0303, joined: é ä ô ñ",
)
_PROMPT = "Represent this sentence: "  # for a model without prompts whose operator may set one
_LONG, _LONG_WORDS = 14, 60
_OVERLONG = 3
# A text of more tokens than this costs minutes on a large model and proves nothing new.
_MOST_WORDS = 1024
# With the texts above these are more than the 500 that a server needs to choose bfloat16 by itself.
PROSE = 420
# A reranker's pairs of a text and a query cut from it: how many, and the words of a query. The cost
# of rounding shows where a model is in doubt, which it seldom is about unrelated texts.
RELATED, _QUERY_WORDS = 96, 6
# The lengths in words of the manual's texts, taken in turn, and the least length of a paragraph to
# cut them from: shorter ones are headings and the like.
_MANUAL_WORDS = (8, 4, 16, 3, 24, 6, 12, 40, 5, 20, 7, 64, 10, 4, 14, 28)
_LEAST_WORDS = 12
# How far apart the two texts of a pair are in the list; which share of a classifier's probes are
# pairs: one in this many.
_DISTANCE = 17
_EVERY = 3


def texts(max_input_length: int) -> tuple[str, ...]:
    """Return about a hundred texts; a few exceed the model's limit, or 1,024 tokens if less."""
    long = [_from_sentence(3 * i, _LONG_WORDS + 3 * i) for i in range(_LONG)]
    mixed = [
        text
        for group in zip_longest(_SHORT, _MEDIUM, _spread(long, len(_SHORT)))
        for text in group
        if text is not None
    ]
    # All in the first batch of a proof, since a batch is padded to its longest text.
    for i in range(_OVERLONG):
        mixed.insert(3 + 4 * i, _from_sentence(7 * i, 2 * min(max_input_length, _MOST_WORDS)))
    return tuple(mixed)


def pairs(max_input_length: int) -> tuple[tuple[str, str], ...]:
    """Return as many pairs as texts, each with another text, mostly of other length and script."""
    every = texts(max_input_length)
    return tuple(zip(every, every[_DISTANCE:] + every[:_DISTANCE], strict=True))


def related(count: int) -> tuple[tuple[str, str], ...]:
    """Return at most `count` pairs: a query, and the text of the manual that its words are from."""
    every = (text.split() for text in from_manual(3 * count))
    longer = (words for words in every if len(words) > 2 * _QUERY_WORDS)
    return tuple(
        (" ".join(words[-_QUERY_WORDS:]), " ".join(words)) for words in islice(longer, count)
    )


def from_manual(count: int) -> tuple[str, ...]:
    """Return at most `count` distinct texts of 3 to 64 words from all over the manual.

    They are sorted by length: batches of equal length show what rounding does, and not padding.
    """
    paragraphs = list(dict.fromkeys(_paragraphs()))
    chosen = [paragraphs[i * len(paragraphs) // count] for i in range(count)]
    cut = (" ".join(text.split()[:words]) for text, words in zip(chosen, cycle(_MANUAL_WORDS)))
    return tuple(sorted(dict.fromkeys(cut), key=len))


def for_task(task: Task, max_input_length: int, prose: int = PROSE) -> tuple[ProbeText, ...]:
    """Return the probes of a kind of model: texts, pairs for a reranker, both for a classifier.

    Models that yield vectors may be computed in less than float32, so they get `prose` more texts
    from the manual. 0 leaves out all probes that only show the cost of a lower precision.
    """
    if task == "reranker":
        return (*pairs(max_input_length), *related(RELATED if prose else 0))
    singles = texts(max_input_length)
    if task != "classifier":
        return tuple(dict.fromkeys((*singles, *from_manual(prose))))
    both = zip(singles, pairs(max_input_length), strict=True)
    return tuple(pair if i % _EVERY == 0 else text for i, (text, pair) in enumerate(both))


def prompts(checkpoint: Checkpoint, count: int) -> tuple[str, ...]:
    """Return the prompt to name with each of `count` texts, in turn; () if the model has none.

    "" names no prompt: the model's default, if any, goes before that text.
    """
    if checkpoint.task not in {"embedding", "splade"}:
        return ()
    own = list(filter(None, checkpoint.prompts.values()))
    if not own and checkpoint.leaves_out_prompts:  # an operator may still put one before each text
        own = [_PROMPT]
    return tuple(islice(cycle(("", *own)), count)) if own else ()


def _from_sentence(first: int, words: int) -> str:
    """Return `words` words of the medium texts, starting with text `first`, in a cycle."""
    start = first % len(_MEDIUM)
    every = " ".join(_MEDIUM[start:] + _MEDIUM[:start]).split()
    return " ".join(islice(cycle(every), words))


def _spread(items: list[str], places: int) -> list[str | None]:
    """Return the items at even distances over `places`, with None between them."""
    step = places // len(items)
    return [
        items[i // step] if i % step == 0 and i // step < len(items) else None
        for i in range(places)
    ]


def _paragraphs() -> Iterator[str]:
    """Yield the manual's paragraphs of prose: code and tables are indented, headings underlined."""
    for name in sorted(topics):
        for block in topics[name].split("\n\n"):
            lines = block.splitlines()
            if not lines or any(line[:1] in {" ", "*", "=", "-", "^", "|", "+"} for line in lines):
                continue
            text = " ".join(lines)
            if len(text.split()) >= _LEAST_WORDS:
                yield text

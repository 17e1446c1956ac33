"""Fetches public-domain text from Debian packages by name and writes the sample model's corpus.

    python fetch_corpus.py WORK_FOLDER

Needs a Debian 13 machine (`apt-get download`, `dpkg-deb`); installs nothing. Writes
WORK_FOLDER/corpus/train.txt, with one document after another, separated by form feeds, and
calibration.txt and held-out.txt, which come from documents that the training text does not hold.
"""

import re
import struct
import subprocess
import sys
import unicodedata
import zlib
from html.parser import HTMLParser
from pathlib import Path

PACKAGES = ["r-cran-janeaustenr", "bible-kjv", "bible-kjv-text", "sqlite3-doc"]

# What each text takes: whole documents, cut at a paragraph after so many characters.
CALIBRATION = {
    "novel": [("northangerabbey", 45_000)],
    "scripture": [("Ruth", 20_000), ("Esther", 20_000)],
    "manual": [("atomiccommit", 40_000)],
}
HELD_OUT = {
    "novel": [("persuasion", 45_000)],
    "scripture": [("Daniel", 30_000)],
    "manual": [("wal", 20_000), ("whentouse", 20_000)],
}

BOOKS = (
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth 1Samuel 2Samuel 1Kings 2Kings "
    "1Chronicles 2Chronicles Ezra Nehemiah Esther Job Psalms Proverbs Ecclesiastes Song Isaiah "
    "Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah Jonah Micah Nahum Habakkuk "
    "Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans 1Corinthians "
    "2Corinthians Galatians Ephesians Philippians Colossians 1Thessalonians 2Thessalonians "
    "1Timothy 2Timothy Titus Philemon Hebrews James 1Peter 2Peter 1John 2John 3John Jude Revelation"
).split()

PUNCTUATION = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2014": "--",
    "\u2013": "-",
}

# Indexes, lists of links and legal forms: no running text.
MANUAL_EXCLUDED = re.compile(
    r"crossref|keyword_index|sitemap|syntaxdiagrams|capi3ref_|changes|chronology|copyright-|"
    r"consortium|lang_select|toc|hc_|search"
)


def unpack(work: Path) -> Path:
    """Downloads the packages into `work` and unpacks them into one tree."""
    packages = work / "packages"
    root = packages / "root"
    if not root.exists():
        packages.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=packages, check=True)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


def clean(text: str) -> str:
    """Plain punctuation and single spaces: a small vocabulary has no room for variants."""
    text = unicodedata.normalize("NFKC", text)
    for old, new in PUNCTUATION.items():
        text = text.replace(old, new)
    text = "".join(c for c in text if c == "\n" or c.isprintable())
    return re.sub(r"[ \t]+", " ", text).strip()


def novels(root: Path) -> dict[str, list[str]]:
    """Jane Austen's novels, out of an R lazy-load database (a character vector of lines each)."""
    data = root / "usr/lib/R/site-library/janeaustenr/data"
    index = zlib.decompress((data / "Rdata.rdx").read_bytes(), 47)
    ranges = re.findall(rb"\0\0\0\x0d\0\0\0\x02(.{4})(.{4})", index, re.DOTALL)
    names = re.findall(rb"\0\x04\0\x09\0\0\0.([a-z]+)", index, re.DOTALL)[1:]
    blob = (data / "Rdata.rdb").read_bytes()
    result = {}
    for name, (start, size) in zip(names, ranges):
        start, size = struct.unpack(">I", start)[0], struct.unpack(">I", size)[0]
        # A chunk is its unpacked length (4 bytes) and a zlib stream of serialized XDR.
        xdr = zlib.decompress(blob[start + 4 : start + size])
        at = xdr.index(b"\0\0\0\x10", 14)
        count = struct.unpack(">I", xdr[at + 4 : at + 8])[0]
        at += 8
        lines = []
        for _ in range(count):
            length = struct.unpack(">i", xdr[at + 4 : at + 8])[0]
            at += 8
            lines.append(xdr[at : at + max(length, 0)].decode("utf-8", "replace"))
            at += max(length, 0)
        text = "\n".join(lines).replace("_", "")
        paragraphs = re.split(r"\n\s*\n", text)
        result[name.decode()] = [clean(p.replace("\n", " ")) for p in paragraphs if p.strip()]
    return result


def scripture(root: Path) -> dict[str, list[str]]:
    """The King James Bible by book: a heading for each chapter, a line for each verse."""
    result = {}
    for book in BOOKS:
        output = subprocess.run(
            [root / "usr/bin/bible", "-f", "-p", root / "usr/lib", f"{book}1:1-{book}150:176"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        title = re.sub(r"^(\d)", r"\1 ", book)
        lines, chapter = [], None
        for number, verse in re.findall(r"^\S+?(\d+):\d+ (.+)$", output, re.MULTILINE):
            if number != chapter:
                chapter = number
                lines.append(f"{title}, chapter {number}")
            lines.append(clean(verse))
        result[book] = lines
    return result


class Paragraphs(HTMLParser):
    """Collects the text of paragraphs, list items and headings, and leaves code and tables out."""

    BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "dd", "dt", "blockquote", "div", "br"}
    SKIPPED = {"pre", "table", "svg", "script", "style", "head", "form", "button"}

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.current = ""
        self.skipping = 0

    def flush(self) -> None:
        text = clean(self.current.replace("\n", " "))
        # Running text only: links, signatures and fragments are dropped.
        if len(text) > 60 and text[-1] in ".:?!)" and text.count(" ") > 8:
            self.found.append(text)
        self.current = ""

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIPPED:
            self.skipping += 1
        if tag in self.BLOCKS and tag != "br":
            self.flush()

    def handle_endtag(self, tag):
        if tag in self.SKIPPED and self.skipping:
            self.skipping -= 1
        if tag in self.BLOCKS:
            self.flush()

    def handle_data(self, data):
        if not self.skipping:
            self.current += data


def manual(root: Path) -> dict[str, list[str]]:
    """The documentation of SQLite, page by page."""
    result = {}
    for page in sorted((root / "usr/share/doc/sqlite3").rglob("*.html")):
        if MANUAL_EXCLUDED.search(page.name) or page.parent.name == "syntax":
            continue
        parser = Paragraphs()
        parser.feed(page.read_text("utf-8", "replace"))
        parser.flush()
        if parser.found:
            result.setdefault(page.stem, parser.found)
    return result


def excerpt(paragraphs: list[str], characters: int) -> str:
    text = ""
    for paragraph in paragraphs:
        if len(text) + len(paragraph) > characters:
            break
        text += paragraph + "\n"
    return text


def interleave(parts: list[str], characters: int) -> str:
    """Pieces of the parts in turn, so that any stretch of the text has something of each kind."""
    pieces: list[tuple[float, str]] = []
    for part in parts:
        piece, done = "", 0
        for line in part.splitlines(keepends=True):
            piece += line
            done += len(line)
            if len(piece) > characters or done == len(part):
                pieces.append(((done - len(piece)) / len(part), piece))
                piece = ""
    return "\n".join(piece for _, piece in sorted(pieces, key=lambda pair: pair[0]))


def main() -> None:
    work = Path(sys.argv[1]).resolve()
    root = unpack(work)
    kinds = {"novel": novels(root), "scripture": scripture(root), "manual": manual(root)}
    corpus = work / "corpus"
    corpus.mkdir(exist_ok=True)

    seen: set[str] = set()
    for name, choice in (("calibration", CALIBRATION), ("held-out", HELD_OUT)):
        parts = []
        for kind, documents in choice.items():
            for document, characters in documents:
                paragraphs = [p for p in kinds[kind].pop(document) if len(p) <= 60 or p not in seen]
                seen.update(p for p in paragraphs if len(p) > 60)
                parts.append(excerpt(paragraphs, characters))
        # A profile reads a few thousand tokens of the calibration text, and should see each kind.
        text = interleave(parts, 1500) if name == "calibration" else "\n".join(parts)
        (corpus / f"{name}.txt").write_text(text, "utf-8")

    documents = []
    for kind, found in kinds.items():
        size = 0
        for paragraphs in found.values():
            # A paragraph counts once, wherever else it stands, the two texts above included.
            fresh = [p for p in paragraphs if len(p) <= 60 or p not in seen]
            seen.update(p for p in fresh if len(p) > 60)
            text = "\n".join(fresh)
            if len(text) > 300:
                documents.append(text + "\n")
                size += len(text)
        print(f"{kind}: {len(found)} documents, {size} characters")
    (corpus / "train.txt").write_text("\f".join(documents), "utf-8")


if __name__ == "__main__":
    main()

"""Which encoding a text is in, from its first bytes.

Headers are short: a dozen Chinese bytes above thousands of digits. charset-normalizer, tried on
such, reads GBK as Korean and Latin-1 as Central European, so the few encodings of real sensor files
are told apart here by what is frequent in each: the level-1 characters of GB 2312, Hangul, kana, a
lone byte above 127 between ASCII ones.
"""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_RUN = re.compile(rb"[\x80-\xff]+")
_TELLING = re.compile(
    "时间|日期|时刻|時間|日付|日時|時刻|温度|湿度|溫度|濕度|시간|일시|날짜|온도|습도"
)
_WIDE = ("gb18030", "big5", "shift_jis", "euc_kr", "euc_jp")


def guess_encoding(head: bytes) -> str:
    """The name of a codec for text that starts so; UTF-8 if nothing speaks against it."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    even, odd = head[0:400:2].count(0), head[1:400:2].count(0)
    if even + odd >= max(len(head[:400]) // 3, 1) and 4 * min(even, odd) < max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"  # every second one; else a fill of zeros
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8"
    except UnicodeDecodeError:
        return _legacy(head)


def _legacy(head: bytes) -> str:
    """One of the encodings from before Unicode."""
    lines = head.replace(b"\r", b"\n").split(b"\n")[:-1] or [head]
    high = b"\n".join([line for line in lines if not line.isascii()][:200])
    runs = _RUN.findall(high)
    lone = sum(len(run) == 1 for run in runs)
    western = "cp1252" if _decodes(high, "cp1252") else "latin-1"
    scores = {name: _score(high, name) for name in (*_WIDE, "cp1251")}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] > 1.0 or (scores[best] > 0.5 and 2 * lone < len(runs)):
        return best
    return western


def _decodes(text: bytes, name: str) -> bool:
    try:
        text.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _score(high: bytes, name: str) -> float:
    """How frequent the characters of this text are in real texts of the encoding, 0 to 2."""
    try:
        text = high.decode(name)
    except UnicodeDecodeError:
        return 0.0
    letters = [c for c in text if c > "\x7f"]
    if not letters:
        return 0.0
    share = sum(_is_common(c, name) for c in letters) / len(letters)
    return share + bool(_TELLING.search(text))


def _is_common(c: str, name: str) -> bool:
    if name == "cp1251":
        return "а" <= c.lower() <= "я" or c in "ёЁ°"
    if name == "euc_kr":
        return "가" <= c <= "힣" or c in "℃℉％（）"
    if name == "shift_jis" or name == "euc_jp":
        raw = c.encode(name)
        return "ぁ" <= c <= "ヿ" or (len(raw) == 2 and 0x88 <= raw[0] <= 0x97)
    raw = c.encode(name)
    if name == "big5":
        return len(raw) == 2 and 0xA1 <= raw[0] <= 0xC6
    return len(raw) == 2 and 0xA1 <= raw[0] <= 0xD7 and raw[1] >= 0xA1

"""Random terminal input: sequences of terminals, also with invalid numbers and ends."""

from random import Random

_NUMBERS = (
    "", "0", "1", "2", "3", "5", "7", "13", "27", "48", "64", "97", "99", "113", "200", "201",
    "1081", "1089", "2026", "2048", "9999", "55296", "57358", "57441", "65535", "1114111",
    "1114112", "4294967296", "99999999999999999", "-1", "٣", "1e5", "1.5", "x",
)  # fmt: skip
_SEPARATORS = ";;;;;::::,? "
_STARTS = (
    "\x1b[", "\x1b[", "\x1b[", "\x1b[<", "\x1b[?", "\x1b[M", "\x1bO", "\x1b]", "\x1bP", "\x1b",
    "\x1b\x1b[", "\x9b", "\x1b[[", "\x1b_G", "\x1b[=", "\x1b[>",
)  # fmt: skip
_ENDS = (
    *"uuuuuuuu~~~~ABCDEFHPQRSMMmmtRIOcZn",
    "$y", "\x07", "\x1b\\", "", "\x1b", "\r", "\n", "\x00", "q", "й", "字", "é",
)  # fmt: skip
_TEXTS = (
    "a", "Z", "ж", "שלום", "字", "👩‍💻", "\x00", "\x03", "\x7f", "\t", "\x1b[200~", "\x1b[201~",
    "\x1b[200~ab\x1b[31mc\r\x1b[201~", "\x1b[I", "\x1b[O", "\x1b[48;0;0;0;0t",
    "\x1b[48;24;80;0;0t", "\x1b[48;99999;99999;1;1t", "\x1b[?2048;2$y", "\x1b[<0;-5;-5M",
    "\x1b[<64;3;3M", "\x1b[<35;999999999999;999999999999M", "\x1b[1089::99;5u", "\ufffd", "\u202e",
)  # fmt: skip


def sequence(random: Random) -> str:
    """Return one sequence of terminal input, valid or not."""
    if random.random() < 0.15:
        return random.choice(_TEXTS)
    parts = [random.choice(_STARTS)]
    for number in range(random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 9))):
        if number:
            parts.append(random.choice(_SEPARATORS))
        parts.append(random.choice(_NUMBERS) if random.random() < 0.8 else _any(random))
    return "".join([*parts, random.choice(_ENDS)])


def _any(random: Random) -> str:
    return (
        str(random.randrange(0x120000)) if random.random() < 0.9 else chr(random.randrange(0x250))
    )

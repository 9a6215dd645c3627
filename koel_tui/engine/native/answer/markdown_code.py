"""Trackers of the code in a growing text: code spans, fenced blocks, and tags within them."""

_FENCE_CHARACTERS = "`~"
MAX_RUN = 100
"""The maximum length of a run in characters; what follows is another run. So a model that repeats
one of these characters is shown, and its text is read once."""


class MarkdownCode:
    """A tracker of the code spans and fenced blocks of Markdown.

    A span ends at the latest with its paragraph; its backticks were ordinary text then.
    """

    def __init__(self) -> None:
        self.fence = ""
        """The fence that opened the block, '' outside a block."""
        self.span = 0
        """The number of backticks that opened the code span, 0 outside a span."""
        self._blank = True  # whether the line has only spaces so far
        self._opening = False  # whether the line has opened the fence
        self._closing = False  # whether the line closes the fence if nothing follows

    def read(self, piece: str) -> None:
        """Read the next character, or a whole run of backticks or tildes."""
        if piece == "\n":
            if self._closing:
                self.fence = ""
            if self._blank:
                self.span = 0
            self._blank, self._opening, self._closing = True, False, False
            return
        if piece[0] in _FENCE_CHARACTERS:
            self._read_run(piece)
        elif not piece.isspace():
            self._closing = False
        self._blank = self._blank and piece.isspace()

    def read_all(self, text: str) -> None:
        """Read a text."""
        position = 0
        while position < len(text):
            length = run_length(text, position)
            self.read(text[position : position + length])
            position += length

    def _read_run(self, run: str) -> None:
        backticks = run[0] == "`"
        if self._opening and backticks and self.fence[0] == "`":
            # A line that opens a block has no further backticks, so this is a code span.
            self.span = 0 if len(run) == len(self.fence) else len(self.fence)
            self.fence, self._opening = "", False
        elif self.fence:
            same = run[0] == self.fence[0] and len(run) >= len(self.fence)
            self._closing = self._blank and same
        elif self.span:
            self.span = 0 if backticks and len(run) == self.span else self.span
        elif self._blank and len(run) >= 3:
            self.fence, self._opening = run, True
        elif backticks:
            self.span = len(run)


def run_length(text: str, start: int) -> int:
    """Return the length of the run of backticks or tildes at `start`, 1 for another character.

    It is at most `MAX_RUN`.
    """
    char, end = text[start], start + 1
    limit = min(len(text), start + MAX_RUN)
    while char in _FENCE_CHARACTERS and end < limit and text[end] == char:
        end += 1
    return end - start


class TagsInCode:
    """A tracker of the start tags that the code of a text contains without their end tags."""

    def __init__(self, start_tag: str) -> None:
        self._start_tag = start_tag
        self._code = MarkdownCode()
        self._run = ""  # backticks or tildes that the next character may continue
        self._tail = ""  # as much of the code as may be the beginning of the start tag
        self._unpaired = 0

    def read(self, text: str) -> None:
        """Read the next part of the text."""
        for char in text:
            if self._run and char != self._run[0]:
                self._flush()
            if char in _FENCE_CHARACTERS:
                self._run += char
                continue
            self._code.read(char)
            self._update(char)

    def pair(self) -> None:
        """Count the next end tag as the partner of a start tag."""
        self._unpaired = max(0, self._unpaired - 1)

    @property
    def is_paired(self) -> bool:
        """True if the code contains a start tag whose end tag is missing so far."""
        self._flush()
        return self._unpaired > 0

    @property
    def is_in_span(self) -> bool:
        """True within a code span."""
        self._flush()
        return self._code.span > 0

    @property
    def is_in_fence(self) -> bool:
        """True within a fenced block."""
        self._flush()
        return bool(self._code.fence)

    def _flush(self) -> None:
        """Read the run of backticks or tildes, which is complete."""
        run, self._run = self._run, ""
        if run:
            self._code.read(run)
            self._update("")

    def _update(self, char: str) -> None:
        if not (self._code.fence or self._code.span):
            self._tail, self._unpaired = "", 0
            return
        self._tail = (self._tail + char)[-len(self._start_tag) :]
        if self._tail == self._start_tag:
            self._tail = ""
            self._unpaired += 1

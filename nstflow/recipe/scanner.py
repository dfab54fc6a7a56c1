"""PyYAML's scanner, which is of YAML 1.1, with what YAML 1.2 says of tabs, `?`, `:` and anchors.

A tab may separate, end or fill a line; it may not indent one.
"""

import re
from typing import Any

from yaml import AliasEvent, Mark, Node, SafeLoader
from yaml.scanner import ScannerError
from yaml.tokens import FlowMappingEndToken, FlowSequenceEndToken, ScalarToken

UNUSUAL = re.compile(r"\t|\?\S|\S\?|&\S|[\s\[{,:]:|-[,\[\]{}]")
"""What a text has in it if the two read it differently."""

TAB = "a tab indents this line"

_BREAK = "\r\n\x85\u2028\u2029"
_END = f"\0 \t{_BREAK}"
_FLOW = ",[]{}"


def _words(others: str) -> re.Pattern[str]:
    """Return the pattern of plain text on one line, which other characters end, too."""
    ends = re.escape(_END + others)
    word = rf"(?!#)(?:[^:{ends}]|:(?![{ends}]))+"
    return re.compile(rf"{word}(?:[ \t]+{word})*")


_WORDS = _words(""), _words(_FLOW)  # outside of brackets, and in them
_BLANKS = re.compile(r"( *)([ \t]*)")
_COMMENT = re.compile(rf"(?:#[^\0{_BREAK}]*)?")
_MARKS = re.compile(r"([1-9][-+]|[-+]?[1-9]?)( *\t)?")
_JSON = FlowMappingEndToken | FlowSequenceEndToken | ScalarToken
_NAME = re.compile(rf"[^{_END}{re.escape(_FLOW)}]*")


class Scanner(SafeLoader):
    """A loader in which methods of PyYAML are replaced; those with a docstring are new."""

    def scan_to_next_token(self) -> None:
        tab = self._skip_blanks()
        while True:
            if self.peek() == "\t":
                raise ScannerError(None, None, TAB, tab)
            self.forward(len(self._match(_COMMENT)[0]))
            if not self.scan_line_break():
                break
            self.allow_simple_key = self.allow_simple_key or not self.flow_level
            tab = self._skip_blanks()
        if self.allow_simple_key:  # here, a list or mapping may begin
            self.after_tab = (self.line, self.column, tab)

    def _skip_blanks(self) -> Mark | None:
        """Skip white space, except a tab that indents, and return where its first tab is."""
        spaces, others = self._match(_BLANKS).groups()
        self.forward(len(spaces))
        tab = self.get_mark() if others else None
        # an empty line, or one with only a comment, has no indentation
        if self.column > self.indent or self.peek(len(others)) in f"\0#{_BREAK}":
            self.forward(len(others))
        return tab

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Return the match of a pattern, which may be empty, at the place where the scanner is."""
        found = pattern.match(self.buffer, self.pointer)
        assert found is not None  # noqa: S101 - for the type checker
        return found

    def add_indent(self, column: int) -> bool:
        line, start, tab = self.after_tab
        if tab and (line, start) == (self.line, column):  # `-<TAB>key: value`
            raise ScannerError(None, None, TAB, tab)
        return bool(super().add_indent(column))

    def scan_block_scalar_indicators(self, start_mark: Mark) -> Any:
        marks, tab = self._match(_MARKS).groups()
        if not tab:
            return super().scan_block_scalar_indicators(start_mark)
        self.forward(len(marks))
        self._skip_blanks()
        sign, digit = marks.strip("123456789"), marks.strip("-+")
        return {"+": True, "-": False}.get(sign), int(digit) if digit else None

    def scan_plain(self) -> ScalarToken:
        words = _WORDS[self.flow_level > 0]
        text, breaks = "", ""
        start = end = self.get_mark()
        while found := words.match(self.buffer, self.pointer):
            text += (breaks[1:] or breaks.replace("\n", " ")) + found[0]
            self.forward(len(found[0]))
            self.allow_simple_key, end = False, self.get_mark()
            breaks = self._skip_breaks()
            if not breaks or (self.column <= self.indent and not self.flow_level):
                break
        return ScalarToken(text, True, start, end)

    def _skip_breaks(self) -> str:
        """Skip white space, and return the line breaks in it; none before the document's end."""
        breaks = ""
        self._skip_blanks()
        while line_break := self.scan_line_break():
            self.allow_simple_key = True
            if self.check_document_start() or self.check_document_end():
                return ""
            breaks += line_break
            self._skip_blanks()
        return breaks

    def check_plain(self) -> bool:
        first, ends = self.peek(), _END + (_FLOW if self.flow_level else "")
        if first in "-?:":
            return self.peek(1) not in ends
        return first not in f"{_END}{_FLOW}#&*!|>'\"%@`"

    def check_key(self) -> bool:
        return self.peek(1) in _END

    def check_value(self) -> bool:
        key = self.tokens[-1] if self.flow_level in self.possible_simple_keys else None
        if self.flow_level and isinstance(key, _JSON) and not getattr(key, "plain", False):
            return True  # after "key" or [key], a value may follow at once
        return self.peek(1) in _END + (_FLOW if self.flow_level else "")

    def scan_anchor(self, token: Any) -> Any:
        start = self.get_mark()
        self.forward()
        name = self._match(_NAME)[0]
        if not name:
            raise ScannerError(None, None, "an anchor or alias needs a name", start)
        self.forward(len(name))
        return token(name, start, self.get_mark())

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if not self.check_event(AliasEvent):  # an anchor may be given anew
            self.anchors.pop(self.peek_event().anchor, None)
        return super().compose_node(parent, index)

"""Entries of a list in a YAML document, set in its text: only the characters of the values change, in whatever style it is written."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Pair = tuple[Any, Any]  # ruamel's nodes of a key and its value


class Impossible(Exception):
    """The document has a form that this module does not edit."""


class Edit(NamedTuple):
    start: int
    end: int
    text: str


def with_item(text: str, key: str, fields: Mapping[str, str]) -> str:
    """`text` with a first item of the list `key`, which is made if there is none."""
    root, pair = _find(text, key)
    if pair is None:
        return _apply(text, [_new_list(text, root, key, fields)])
    value = pair[1]
    if value.id == "mapping" or _is_alias(pair):
        raise Impossible
    if not root.flow_style and not value.value and _is_bare(text, pair):  # `images: []` says no more than no such line
        line = Edit(_line_start(text, pair[0].start_mark.index), _line_end(text, _end(text, pair)), "")
        return with_item(_apply(text, [line]), key, fields)
    if value.id == "scalar":
        edits = [Edit(value.start_mark.index, value.end_mark.index, "")]
        edits.append(_under(text, root, pair, fields))
        return _apply(text, edits)
    if value.flow_style:
        place = text.index("[", value.start_mark.index) + 1
        return _apply(text, [Edit(place, place, _flow(text, root, fields) + ", " * bool(value.value))])
    dash = re.compile(r"^( *)-\s", re.M).search(text, _line_start(text, value.start_mark.index))
    if not dash:
        raise Impossible
    return _apply(text, [Edit(dash.start(), dash.start(), _block(text, dash[1], fields))])


def with_fields(text: str, key: str, place: int, fields: Mapping[str, str], without: list[str]) -> str:
    """`text` with those fields of the item at `place` set, in their places or after its first key, and others taken out."""
    pair = _find(text, key)[1]
    items = pair[1].value if pair else []
    item = items[place]
    if not pair or _is_alias(pair) or item in items[:place] or item.id != "mapping":
        raise Impossible
    direct = {key.value.lower(): (key, value) for key, value in item.value}
    gone = [direct[name.lower()] for name in without if name.lower() in direct]
    missing = {name: value for name, value in fields.items() if name.lower() not in direct}
    edits = [_set(text, direct[name.lower()], value) for name, value in fields.items() if name.lower() in direct]
    if gone and missing:  # the new field takes the old one's place and its comment
        name, value = missing.popitem()
        edits.append(_exchange(text, gone.pop(0), name, value))
    edits += [_removal(text, item, pair) for pair in gone]
    if missing:
        edits.append(_addition(text, item, direct.get("name", item.value[0]), missing))
    return _apply(text, edits)


def _find(text: str, key: str) -> tuple[Any, Pair | None]:
    """The root mapping, and the pair of that key."""
    from ruamel.yaml import YAML

    root = YAML(pure=True).compose(text)
    return root, next((pair for pair in root.value if str(pair[0].value).lower() == key), None)


def _apply(text: str, edits: list[Edit]) -> str:
    """Applies the edits from the end, so that the places of the others stay valid."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _set(text: str, pair: Pair, new: str) -> Edit:
    """Replaces a value, in its present quotes; an anchor stays before it."""
    key, value = pair
    start, end = value.start_mark.index, value.end_mark.index
    if _is_alias(pair):
        alias = re.compile(r"\s*:\s*(\*[^\s,}\]]+)").match(text, key.end_mark.index)
        if not alias:
            raise Impossible
        return Edit(alias.start(1), alias.end(1), new)
    if start == end:
        place = _end(text, pair)
        return Edit(place, place, f" {new}")
    properties = re.match(r"(?:[&!]\S*\s+)*", text[start:end])
    start += properties.end() if properties else 0
    quote = value.style if value.style in ("'", '"') else ""
    after = _newline(text) if value.style in ("|", ">") else ""
    return Edit(start, end, f"{quote}{new}{quote}{after}")


def _exchange(text: str, pair: Pair, name: str, value: str) -> Edit:
    quote = '"' if pair[0].style == '"' else ""
    return Edit(*_span(pair), f"{quote}{name}{quote}: {quote}{value}{quote}")


def _removal(text: str, item: Any, pair: Pair) -> Edit:
    """Removes a field, and its whole line if that holds no other field and no comment."""
    pairs = list(item.value)
    place, (start, end) = pairs.index(pair), _span(pair)
    if not item.flow_style and "#" in text[end : _line_end(text, end)]:
        return Edit(start, end, "")
    if place + 1 < len(pairs):
        return Edit(start, pairs[place + 1][0].start_mark.index, "")
    if item.flow_style:
        return Edit(pairs[place - 1][1].end_mark.index, end, "")
    return Edit(_line_start(text, start), _line_end(text, end), "")


def _addition(text: str, item: Any, after: Pair, fields: Mapping[str, str]) -> Edit:
    end = _span(after)[1]
    if item.flow_style:
        quote = '"' if item.value[0][0].style == '"' else ""
        end = end if not _is_alias(after) else re.compile(r"[,}]").search(text, end).start()  # ty: ignore
        return Edit(end, end, "".join(f", {quote}{k}{quote}: {quote}{v}{quote}" for k, v in fields.items()))
    place = end if after[1].style in ("|", ">") else _line_end(text, end)
    indent, newline = " " * item.value[0][0].start_mark.column, _newline(text)
    lines = "".join(f"{indent}{name}: {value}{newline}" for name, value in fields.items())
    return Edit(place, place, lines if text[:place].endswith(("\n", "\r")) else newline + lines)


def _new_list(text: str, root: Any, key: str, fields: Mapping[str, str]) -> Edit:
    """A new list at the end of the document."""
    if root.flow_style:
        end = _span(root.value[-1])[1]
        quote = '"' if root.value[0][0].style == '"' else ""
        return Edit(end, end, f", {quote}{key}{quote}: [{_flow(text, root, fields)}]")
    end, newline, indent = root.end_mark.index, _newline(text), " " * root.value[0][0].start_mark.column
    lines = f"{indent}{key}:{newline}{_block(text, indent + '  ', fields)}"
    return Edit(end, end, lines if text[:end].endswith(("\n", "\r")) else newline + lines)


def _under(text: str, root: Any, pair: Pair, fields: Mapping[str, str]) -> Edit:
    """A new list in place of an empty value."""
    key, value = pair
    if root.flow_style:
        return Edit(value.end_mark.index, value.end_mark.index, f" [{_flow(text, root, fields)}]")
    place = _line_end(text, _end(text, pair))
    block = _block(text, " " * (key.start_mark.column + 2), fields)
    return Edit(place, place, block if text[:place].endswith(("\n", "\r")) else _newline(text) + block)


def _flow(text: str, root: Any, fields: Mapping[str, str]) -> str:
    quote = '"' if root.flow_style and root.value[0][0].style == '"' else ""
    return "{" + ", ".join(f"{quote}{key}{quote}: {quote}{value}{quote}" for key, value in fields.items()) + "}"


def _block(text: str, indent: str, fields: Mapping[str, str]) -> str:
    lines = [f"{key}: {value}{_newline(text)}" for key, value in fields.items()]
    return f"{indent}- " + f"{indent}  ".join(lines)


def _span(pair: Pair) -> tuple[int, int]:
    """From the key to the end of its value; the value of an alias stands elsewhere."""
    return pair[0].start_mark.index, max(pair[0].end_mark.index, pair[1].end_mark.index)


def _end(text: str, pair: Pair) -> int:
    """Where the value ends; to an empty one ruamel gives the place of the next token."""
    key, value = pair
    is_empty = value.start_mark.index == value.end_mark.index
    return text.index(":", key.end_mark.index) + 1 if is_empty else value.end_mark.index


def _is_alias(pair: Pair) -> bool:
    """An alias has the place of what it stands for, which is before it."""
    return pair[1].start_mark.index < pair[0].end_mark.index


def _is_bare(text: str, pair: Pair) -> bool:
    """Whether the pair is alone on its line."""
    start, end = pair[0].start_mark.index, _end(text, pair)
    line = text[_line_start(text, start) : _line_end(text, end)]
    return not re.search(r"[#&!\n\r].*\S", line.strip()) and "#" not in line and "\n" not in line.strip()


def _newline(text: str) -> str:
    """The line end of this file: that of its first line."""
    found = re.search(r"\r\n|\n|\r", text)
    return found[0] if found else "\n"


def _line_start(text: str, place: int) -> int:
    return max(text.rfind(end, 0, place) for end in "\r\n") + 1


def _line_end(text: str, place: int) -> int:
    """The place after the line end."""
    found = re.compile(r"\r\n|\n|\r").search(text, place)
    return found.end() if found else len(text)

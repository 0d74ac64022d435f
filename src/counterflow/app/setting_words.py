"""What a setting must be, in words: the library's messages name Python's types, and people write TOML."""

import re

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list in brackets",
    "object": "a table of settings",
}
_COMPARISONS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
_LENGTHS = {"str": "character", "array": "entry"}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`| (>=|<=|>|<) (\S+)| of length (>=|<=) (\d+)| matching regex '(.*)')?")
_CHOICE = re.compile(r"\^\((\w+(?:\|\w+)*)\)\$")
_SEE = "see docs/settings.md."


def sentence_of(message: str) -> str:
    """A `msgspec.ValidationError` of the settings, such as "Expected `int` <= 65535 - at `$.gateway.port`", as a sentence."""
    what, _, where = message.partition(" - at `$.")
    where = where.rstrip("`")
    if what.startswith("Object contains unknown field"):
        place = f" in {_table(where)}" if where else ""
        return f"There is no setting '{_quoted(what)}'{place}; {_SEE}"
    if what.startswith("Object missing required field"):
        return f"{_table(where)} needs the setting '{_quoted(what)}'; {_SEE}"
    table, _, name = where.rpartition(".")
    setting = f"'{name}' of {_table(table)}" if table.endswith("]") else f"'{where}'"
    return f"The setting {setting} {_must_be(what)}; {_SEE}"


def _must_be(what: str) -> str:
    if what.startswith("Invalid enum value"):
        return f"knows no {what.removeprefix('Invalid enum value ')}; the table tells which words it takes"
    found = _EXPECTED.fullmatch(what)
    if found is None:
        return f"is wrong ({what[:1].lower()}{what[1:]})"
    kind, got, comparison, bound, length, count, pattern = found.groups()
    if comparison is not None:
        return f"must be {_COMPARISONS[comparison]} {float(bound):.15g}"
    if length is not None:
        unit = _LENGTHS.get(kind, "entry")
        plural = "entries" if unit == "entry" else f"{unit}s"
        return f"must have {_COMPARISONS[length]} {count} {unit if count == '1' else plural}"
    if pattern is not None:
        choice = _CHOICE.fullmatch(pattern)
        return f"must be one of {', '.join(choice[1].split('|'))}" if choice else f"must have the form {pattern}"
    wanted = _kinds(kind)
    return f"must be {wanted}" + ("" if got is None else f", not {'one with a fraction' if got == 'float' else _kinds(got)}")


def _kinds(names: str) -> str:
    return " or ".join(_KINDS.get(name, name) for name in names.split(" | ") if name != "null") or "left out"


def _table(where: str) -> str:
    """`sites[1]` is `[[sites]] number 2`; what stands below a name of the user's is shown with dots."""
    entry = re.fullmatch(r"(\w+)\[(\d+)\]", where)
    if entry is not None:
        return f"[[{entry[1]}]] number {int(entry[2]) + 1}"
    return f"[{where.replace('[...]', '.<name>')}]"


def _quoted(what: str) -> str:
    return what.rsplit("`", 2)[-2]

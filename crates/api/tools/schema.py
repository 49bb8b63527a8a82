#!/usr/bin/env python3
"""Compares schema/*.txt with Kubernetes' own descriptions of its types, and says what differs or is missing.

    schema.py FOLDER…

FOLDERs are Debian's packages golang-k8s-api-dev and golang-k8s-apimachinery-dev, unpacked (last with 0.36.4-1 and
0.36.4-3). For a new version: run this, add the fields that it misses, and set MINOR in crates/apiserver/src/version.rs.
"""

import pathlib
import re
import sys

SCHEMA = pathlib.Path(__file__).parent.parent / "schema"
API = "k8s.io.api.{}.v1"
PACKAGES = {"meta": "k8s.io.apimachinery.pkg.apis.meta.v1"} | {
    name: API.format(name) for name in ("authentication", "authorization", "coordination", "core", "policy", "rbac")
}
FIELD = re.compile(r"\s+(optional|repeated)?\s*(map<\s*\S+,\s*(\S+)>|(\S+)) (\w+) = (\d+);")
# Types that have a form of their own in the tables.
SPECIAL = {"ExtraValue", "Fields", "IntOrString", "MicroTime", "Quantity", "Raw", "Time"}
# Names that JSON has otherwise, and fields of list requests that no server has to know.
KNOWN = {"BoundObjectReference.uid", "BoundObjectReference.uID", "ListMeta.shardInfo"}


def described(folders):
    """Each message's fields: number, shape and type."""
    messages = {}
    for path in (path for folder in folders for path in pathlib.Path(folder).rglob("generated.proto")):
        package = fields = None
        for line in path.read_text().splitlines():
            if line.startswith("package "):
                package = line.split()[1].rstrip(";")
            elif line.startswith("message "):
                fields = messages.setdefault((package, line.split()[1]), {})
            elif fields is not None and (match := FIELD.match(line)):
                shape = "map" if match[3] else "list" if match[1] == "repeated" else "one"
                fields[match[5]] = (int(match[6]), shape, (match[3] or match[4]).split(".")[-1])
    return messages


def tabled(name):
    """Each type of a table: its fields, and whether some stand among those of others."""
    for block in (SCHEMA / f"{name}.txt").read_text().split("\n\n"):
        head, *lines = [line.split() for line in block.splitlines() if line.strip()] or [[""]]
        fields = {words[0]: (int(words[1]), words[2].lstrip("*")) for words in lines if words[0] != "~"}
        yield head[0], fields, any(words[0] == "~" for words in lines)


def differences(name, messages):
    for kind, ours, is_open in tabled(name):
        theirs = messages.get((PACKAGES[name], kind), {})
        for field, (number, written) in ours.items():
            shape = {"[": "list", "{": "map"}.get(written[0], "one")
            base = written.strip("[]{}*")
            found = theirs.get(field)
            fits = found and found[:2] == (number, shape) and (base in SPECIAL or base == found[2])
            if not fits and f"{kind}.{field}" not in KNOWN:
                yield f"{kind}.{field}: {number} {written} here, {found} there"
        for field in theirs.keys() - ours.keys():
            if not is_open and f"{kind}.{field}" not in KNOWN:
                yield f"{kind}.{field}: missing; {theirs[field]}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    messages = described(sys.argv[1:])
    found = [line for name in PACKAGES for line in differences(name, messages)]
    print("\n".join(found) or "no differences")
    sys.exit(bool(found))

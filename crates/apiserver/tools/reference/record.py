#!/usr/bin/env python3
"""Records what a real kube-apiserver answers, for the test `the_reference_answers_alike`.

    record.py URL TOKEN

URL is a kube-apiserver that nobody else uses, with empty storage and without controllers (last: 1.36, built from its source, with
etcd, `--disable-admission-plugins=ServiceAccount`). The requests of tests/reference/core.ndjson are sent again; those of
tests/reference/kinds.ndjson are made of the tables in kinds.py and customs.py. What is answered here instead, and why, stays as it
stands in the files. To see what is answered otherwise: `cargo test -p palisade-apiserver --test reference`.
"""

import copy
import http.client
import json
import pathlib
import re
import ssl
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True

import customs
import kinds
from kinds import GONE

FOLDER = pathlib.Path(__file__).parents[2] / "tests" / "reference"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PATCH = {"merge": "application/merge-patch+json", "strategic-merge": "application/strategic-merge-patch+json",
         "json": "application/json-patch+json", "apply": "application/apply-patch+yaml"}
# Given by the server, another each time.
GIVEN = ("clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort")


# What is asked.

def put(thing, path, value):
    """A copy of a thing with a value in a place as `spec.ports[0].port`."""
    thing = copy.deepcopy(thing)
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    below = thing
    for step in steps[:-1]:
        below = below[step] if isinstance(step, int) else below.setdefault(step, {})
    if value is not GONE:
        below[steps[-1]] = copy.deepcopy(value)
    else:
        below.pop(steps[-1], None)
    return thing


def request(verb, path, body=None, content_type=None, accept=None):
    made = {"do": f"{verb} {path}"}
    if body is not None:
        made["type"] = content_type or "application/json"
    if accept:
        made["headers"] = {"accept": accept}
    if body is not None:
        made["body"] = body
    return made


def patch(how, path, body):
    return request("PATCH", path, body, PATCH[how])


def reads(path, one, table):
    yield request("GET", one)
    yield request("GET", f"{path}/none")
    for selector in ("labelSelector=seen%3Dyes", "labelSelector=seen%21%3Dyes", "labelSelector=seen+in+%28yes%2Cno%29", "labelSelector=%21seen", "labelSelector=%28",
                     "fieldSelector=metadata.name%3Done", "fieldSelector=metadata.name%21%3Done", *(f"fieldSelector={urllib.parse.quote(text)}" for text in table.get("select", ("spec.nope=x",)))):
        yield request("GET", f"{path}?{selector}")
    yield request("GET", one, accept=TABLE)
    yield request("GET", path, accept=TABLE)
    yield request("GET", path, accept="text/plain")
    yield request("GET", f"{path}?watch=true&resourceVersion=x")
    yield request("GET", f"{path}?limit=x")
    yield request("GET", f"{path}?sendInitialEvents=true")


def changes(one, table, good):
    name = good["metadata"]["name"]
    yield request("PUT", one, put(good, "metadata.name", "other"))
    yield request("PUT", one, put(good, "metadata.uid", "other"))
    yield request("PUT", one, put(good, "metadata.resourceVersion", "1"))
    yield request("PUT", f"{one}-none", put(good, "metadata.name", f"{name}-none"))
    yield request("PUT", f"{one}?dryRun=All", put(good, "metadata.labels", {"put": "dry"}))
    yield request("PUT", one, put(good, "metadata.labels", {"seen": "yes", "put": "yes"}))
    yield patch("merge", one, table["change"])
    yield patch("merge", one, {"metadata": {"annotations": {"a": "b"}}})
    yield patch("strategic-merge", one, table["change"])
    yield patch("json", one, [{"op": "test", "path": "/metadata/name", "value": "other"}])
    yield patch("json", one, [{"op": "add", "path": "/metadata/labels/json", "value": "yes"}])
    yield patch("merge", one, {"metadata": {"uid": "other"}})
    yield patch("merge", one, {"metadata": {"labels": "x"}})
    yield patch("merge", f"{one}?fieldValidation=Strict", {"nope": 1})
    yield patch("merge", f"{one}?fieldValidation=Nope", {"nope": 1})
    yield request("PATCH", one, "x", "text/plain")
    for update in table.get("updates", ()):
        yield patch("merge", f"{one}?dryRun=All", update)


def subresources(one, table, good):
    for part in ("status", "scale"):
        yield request("GET", f"{one}/{part}")
    for status in table.get("status", ()):
        yield patch("merge", f"{one}/status?dryRun=All", {"status": status})
    if "status" in table:
        yield patch("merge", f"{one}/status?dryRun=All", table["change"])
        yield request("PUT", f"{one}/status?dryRun=All", put(good, "metadata.labels", {"status": "dry"}))
    if table.get("scale"):
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "one", "namespace": one.split("/")[-3]}}
        for replicas in (0, 2, -1, "x"):
            yield patch("merge", f"{one}/scale?dryRun=All", {"spec": {"replicas": replicas}})
        yield request("PUT", f"{one}/scale?dryRun=All", scale | {"spec": {"replicas": 1}})
        yield request("PUT", f"{one}/scale?dryRun=All", scale | {"metadata": {"name": "other"}, "spec": {"replicas": 1}})
        yield request("PUT", f"{one}/scale?dryRun=All", scale | {"kind": "Nope", "spec": {"replicas": 1}})


def applies(path, good):
    mine, other = (put(good, "metadata.labels", {"owner": owner}) for owner in ("a", "b"))
    mine, other = (put(body, "metadata.name", "applied") for body in (mine, other))
    one = f"{path}/applied"
    yield patch("apply", one, mine)
    yield patch("apply", f"{one}?fieldManager=a", put(mine, "apiVersion", GONE))
    yield patch("apply", f"{one}?fieldManager=a&dryRun=All", mine)
    yield patch("apply", f"{one}?fieldManager=a", mine)
    yield patch("apply", f"{one}?fieldManager=a", mine)
    yield patch("apply", f"{one}?fieldManager=b", other)
    yield patch("apply", f"{one}?fieldManager=b&force=true", other)
    yield patch("apply", f"{one}?fieldManager=a&fieldValidation=Strict", mine | {"nope": 1})
    yield request("DELETE", f"{one}?propagationPolicy=Background")


def ends(path, one):
    yield request("DELETE", f"{one}?dryRun=All")
    yield request("DELETE", one, {"preconditions": {"uid": "other"}})
    yield request("DELETE", one, {"propagationPolicy": "Nope"})
    yield request("DELETE", f"{path}/none")
    yield request("DELETE", f"{one}?propagationPolicy=Background")
    yield request("GET", one)
    yield request("DELETE", f"{path}?labelSelector=seen%3Dno")


def of_kind(resource, table):
    """All that is asked about one kind."""
    api, cluster = table["api"], table.get("cluster")
    root = f"/apis/{api}" if "/" in api else f"/api/{api}"
    path = f"{root}/{resource}" if cluster else f"{root}/namespaces/{resource}/{resource}"
    good = {"apiVersion": api, "kind": table["kind"], "metadata": {"name": "one", "labels": {"seen": "yes"}}} | table["good"]
    if not cluster:
        yield request("POST", "/api/v1/namespaces", {"metadata": {"name": resource}})
        yield request("POST", f"{root}/namespaces/other/{resource}", good)
        yield request("POST", path, put(good, "metadata.namespace", "other"))
    yield request("POST", f"{path}?dryRun=All", good)
    yield request("POST", path, good)
    yield request("POST", path, good)
    for place, value in kinds.METADATA + table["bad"]:
        yield request("POST", f"{path}?dryRun=All", put(put(good, "metadata.name", "bad"), place, value))
    yield request("POST", f"{path}?dryRun=All&fieldValidation=Strict", put(put(good, "metadata.name", "bad"), "nope", 1))
    one = f"{path}/one"
    yield from reads(path, one, table)
    yield from changes(one, table, good)
    yield from subresources(one, table, good)
    yield from applies(path, good)
    yield from ends(path, one)


def of_definitions():
    crds = customs.CRDS
    for place, value in customs.BAD:
        yield request("POST", f"{crds}?dryRun=All", put(customs.GOOD, place, value))
    for crd in (customs.THINGS, customs.PLAIN):
        yield request("POST", crds, crd)
    yield request("POST", crds, customs.PLAIN)
    yield {"wait": "/apis/plain.example.com/v1/plains"} | request("GET", "/apis/plain.example.com/v1/plains")
    yield {"wait": "/apis/example.com/v1/things"} | request("GET", "/apis/example.com/v1/things")
    one = f"{crds}/things.example.com"
    yield patch("merge", one, {"spec": {"group": "other.com"}})
    yield patch("merge", one, {"spec": {"scope": "Cluster"}})
    yield patch("merge", one, {"spec": {"names": {"plural": "others"}}})
    yield patch("merge", one, {"spec": {"versions": []}})
    yield patch("merge", f"{one}/status?dryRun=All", {"status": {"storedVersions": []}})
    yield patch("strategic-merge", f"{one}?dryRun=All", {"metadata": {"labels": {"a": "b"}}})
    yield request("PUT", one, customs.THINGS)
    yield request("GET", one, accept=TABLE)


def of_things():
    path = "/apis/example.com/v1/namespaces/customs/things"
    one = f"{path}/one"
    good = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one", "labels": {"seen": "yes"}}, "spec": {"size": 2, "fixed": "a"}}
    yield request("POST", "/api/v1/namespaces", {"metadata": {"name": "customs"}})
    yield request("POST", "/apis/example.com/v1/things", good)
    yield request("POST", "/apis/example.com/v3/namespaces/customs/things", good)
    yield request("POST", f"{path}?dryRun=All", good)
    yield request("POST", path, good)
    yield request("POST", path, good)
    for place, value in kinds.METADATA + customs.THING_BAD:
        yield request("POST", f"{path}?dryRun=All", put(put(good, "metadata.name", "bad"), place, value))
    for place, value in customs.THING_BAD:
        yield request("POST", f"{path}?dryRun=All&fieldValidation=Strict", put(put(good, "metadata.name", "bad"), place, value))
    table = {"change": {"spec": {"size": 3}}, "status": [{"phase": "x"}, {"phase": 1}, {"unknown": 1}, {"replicas": 1, "selector": "a=b"}], "scale": True,
             "select": ["spec.color=red", "spec.color=blue", "spec.size=2"]}
    yield from reads(path, one, table)
    yield from changes(one, table, good)
    for how, body in customs.THING_PATCHES:
        yield patch(how, f"{one}?dryRun=All", body)
    yield from subresources(one, table, good)
    yield patch("merge", f"{one}/scale", {"spec": {"replicas": 3}})
    yield patch("merge", f"{one}/status", {"status": {"phase": "Ready", "replicas": 3, "selector": "a=b"}, "spec": {"size": 5}})
    yield request("GET", f"{one}/scale")
    yield request("GET", "/apis/example.com/v2/namespaces/customs/things/one")
    yield patch("merge", "/apis/example.com/v2/namespaces/customs/things/one", {"spec": {"size": 4}, "other": 1})
    yield request("GET", "/apis/example.com/v1/things")
    yield request("GET", "/apis/example.com/v1")
    yield request("GET", "/apis/example.com")
    yield from applies(path, good)
    for manager, ports in (("a", [{"port": 1, "name": "x"}]), ("b", [{"port": 2}]), ("b", [{"port": 1, "name": "y"}]), ("a", [])):
        yield patch("apply", f"{path}/merged?fieldManager={manager}", put(put(good, "metadata.name", "merged"), "spec", {"size": 2, "ports": ports, "tags": [manager]}))
    yield from ends(path, one)
    plain = "/apis/plain.example.com/v1/plains"
    good = {"apiVersion": "plain.example.com/v1", "kind": "Plain", "metadata": {"name": "one", "labels": {"seen": "yes"}}, "spec": {"any": {"thing": [1, "a", None]}}}
    table = {"change": {"spec": {"more": 1}}}
    yield request("POST", plain, good)
    yield from reads(plain, f"{plain}/one", table)
    yield from changes(f"{plain}/one", table, good)
    yield from subresources(f"{plain}/one", table, good)
    yield from ends(plain, f"{plain}/one")
    yield request("DELETE", f"{customs.CRDS}/plains.plain.example.com")


def asked():
    for resource, table in kinds.KINDS.items():
        yield from of_kind(resource, table)
    yield from of_definitions()
    yield from of_things()


# What is answered; as in tests/reference.rs.

def kept(value, uid):
    """A value without what is another each time."""
    if isinstance(value, dict):
        return {"UID" if key == uid else key: kept(below, uid) for key, below in value.items() if key not in GIVEN}
    if isinstance(value, list):
        return [kept(below, uid) for below in value]
    return "UID" if value == uid and uid else value


def without_ours(fields):
    if not isinstance(fields, dict):
        return fields
    return {name: without_ours(below) for name, below in fields.items() if name not in ("f:annotations", "f:securityContext")}


def picked(made, answer):
    metadata, path = answer.get("metadata") or {}, made["do"].split()[1]
    found = {"labels": kept(metadata.get("labels"), metadata.get("uid")), "finalizers": metadata.get("finalizers"), "generation": metadata.get("generation"),
             "owners": [owner["uid"] for owner in metadata["ownerReferences"]] if metadata.get("ownerReferences") else None}
    if answer.get("kind") == "Pod":
        found["images"] = [container.get("image") for container in answer["spec"]["containers"]]
    else:
        is_custom = "/apis/example.com/" in path
        skipped = {"apiVersion", "kind", "metadata"} | (set() if is_custom else {"status"})
        found |= {name: kept(value, metadata.get("uid")) for name, value in answer.items() if name not in skipped}
    if made.get("type") == PATCH["apply"] and "/status" not in path:
        entries = [[entry["manager"], entry["operation"], without_ours(entry.get("fieldsV1"))] for entry in metadata.get("managedFields", [])]
        found["managed"] = sorted(entries, key=lambda entry: json.dumps(entry, separators=(",", ":"), sort_keys=True))
    return {name: value for name, value in found.items() if value is not None}


def listed(made, answer):
    """The names of a selected list; a table's columns."""
    if answer.get("kind") == "Table":
        return {"columns": [[column[part] for part in ("name", "type", "format", "priority")] for column in answer["columnDefinitions"]]}
    if "items" in answer and "Selector=" in made["do"] and made["do"].startswith("GET"):
        return {"names": sorted(item["metadata"].get("generateName", item["metadata"]["name"]) for item in answer["items"])}
    return None


def send(connection, token, made):
    verb, path = made["do"].split(" ", 1)
    body = made.get("body")
    body = body if body is None or isinstance(body, str) else json.dumps(body)
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"} | made.get("headers", {})
    if made.get("type"):
        headers["content-type"] = made["type"]
    connection.request(verb, path.replace("<", "%3C").replace(">", "%3E").replace(" ", "%20"), body, headers)
    response = connection.getresponse()
    text = response.read()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    return response.status, answer if isinstance(answer, dict) else {}


def answered(connection, token, made):
    code, answer = send(connection, token, made)
    found = {"code": code}
    if code >= 300 and answer.get("reason"):
        found["reason"] = answer["reason"]
    causes = {f"{cause.get('reason', '')} {cause.get('field', '')}".strip() for cause in (answer.get("details") or {}).get("causes", [])} if code >= 300 else set()
    if causes:
        found["causes"] = sorted(causes)
    if code < 300 and made["do"].split()[0] in ("POST", "PUT", "PATCH"):
        found["object"] = picked(made, answer)
    elif code < 300 and (seen := listed(made, answer)):
        found["object"] = seen
    return found


def wait(connection, token, made):
    """Until a custom resource is there: a real server takes a moment, and one more until all of it is."""
    path = made.pop("wait", None)
    if path:
        while send(connection, token, {"do": f"GET {path}"})[0] != 200:
            time.sleep(0.2)
        time.sleep(6)


def record(path, requests, connection, token):
    """Sends requests; what is answered here, and why, stays for those that stood there."""
    known = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        old = json.loads(line)
        identity = json.dumps([old["do"], old.get("type"), old.get("headers"), old.get("body")])
        known.setdefault(identity, []).append({name: old[name] for name in ("ours", "why") if name in old})
    lines = []
    for made in requests:
        made = {name: made[name] for name in ("wait", "do", "type", "headers", "body") if name in made}
        wait(connection, token, made)
        old = known.get(json.dumps([made["do"], made.get("type"), made.get("headers"), made.get("body")]))
        theirs = answered(connection, token, made)
        ours = old.pop(0) if old else {}
        lines.append(json.dumps(made | theirs | (ours if ours.get("ours") != theirs else {}), separators=(",", ":"), ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} requests")


def main():
    url, token = sys.argv[1:]
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(url).netloc, context=ssl._create_unverified_context(), timeout=60)
    core = FOLDER / "core.ndjson"
    record(core, [json.loads(line) for line in core.read_text().splitlines()], connection, token)
    record(FOLDER / "kinds.ndjson", asked(), connection, token)


if __name__ == "__main__":
    main()

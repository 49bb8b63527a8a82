"""What is asked about CustomResourceDefinitions, and about objects of some of them."""

from kinds import GONE

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}


def definition(plural, kind, properties, scope="Namespaced", group="example.com", names=None, **version):
    schema = {"type": "object", "properties": properties}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}} | version]
    spec = {"group": group, "scope": scope, "names": {"plural": plural, "kind": kind} | (names or {}), "versions": versions}
    return DEFINITION | {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


GOOD = definition("widgets", "Widget", {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}})
VERSION = "spec.versions[0]"
SCHEMA = f"{VERSION}.schema.openAPIV3Schema"
SPEC = f"{SCHEMA}.properties.spec"
A = f"{SPEC}.properties.a"


def rule(text, **more):
    return [{"rule": text} | more]


BAD = [
    ("metadata.name", "widgets"), ("metadata.name", "other.example.com"), ("spec.group", ""), ("spec.group", "Example"), ("spec.group", GONE), ("spec.group", "example"), ("spec.scope", "Nope"), ("spec.scope", GONE), ("spec.scope", "Cluster"),
    ("spec.names.plural", GONE), ("spec.names.plural", "Widgets"), ("spec.names.kind", GONE), ("spec.names.kind", "widget"), ("spec.names.kind", "A b"), ("spec.names.singular", "widget"), ("spec.names.singular", "W"), ("spec.names.listKind", "Widget"), ("spec.names.listKind", "Widgets"),
    ("spec.names.shortNames", ["w"]), ("spec.names.shortNames", ["W"]), ("spec.names.shortNames", ["w", "w"]), ("spec.names.categories", ["all"]), ("spec.names.categories", ["A"]), ("spec.preserveUnknownFields", True), ("spec.preserveUnknownFields", False),
    ("spec.versions", []), ("spec.versions", GONE), (f"{VERSION}.name", "V1"), (f"{VERSION}.name", GONE), (f"{VERSION}.name", "v1beta1"), (f"{VERSION}.served", False), (f"{VERSION}.storage", False), (f"{VERSION}.schema", GONE), (f"{VERSION}.schema", {}), (f"{VERSION}.deprecated", True), (f"{VERSION}.deprecationWarning", "old"),
    (f"{VERSION}.subresources", {"status": {}}), (f"{VERSION}.subresources", {"scale": {}}), (f"{VERSION}.subresources", {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}), (f"{VERSION}.subresources", {"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.replicas"}}),
    (f"{VERSION}.subresources", {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".spec.replicas"}}), (f"{VERSION}.subresources", {"scale": {"specReplicasPath": ".spec[0]", "statusReplicasPath": ".status.replicas"}}), (f"{VERSION}.subresources", {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".x"}}),
    (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]), (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "nope", "jsonPath": ".spec.a"}]), (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "string", "jsonPath": "spec"}]), (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "string", "jsonPath": ".spec["}]),
    (f"{VERSION}.additionalPrinterColumns", [{"name": "", "type": "string", "jsonPath": ".spec.a"}]), (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "string", "format": "nope", "jsonPath": ".spec.a"}]), (f"{VERSION}.additionalPrinterColumns", [{"name": "A", "type": "string"}]),
    (f"{VERSION}.selectableFields", [{"jsonPath": ".spec.a"}]), (f"{VERSION}.selectableFields", [{"jsonPath": ".spec.b"}]), (f"{VERSION}.selectableFields", [{"jsonPath": ".spec"}]), (f"{VERSION}.selectableFields", [{"jsonPath": "x"}]), (f"{VERSION}.selectableFields", [{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}]), (f"{VERSION}.selectableFields", [{"jsonPath": ".metadata.name"}]),
    ("spec.conversion", {"strategy": "None"}), ("spec.conversion", {"strategy": "Nope"}), ("spec.conversion", {"strategy": "Webhook"}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://a.b"}}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"], "clientConfig": {"url": "https://a.b"}}}),
    ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": [], "clientConfig": {"url": "https://a.b"}}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "http://a.b"}}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {}}}),
    ("spec.conversion", {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "s", "namespace": "n", "port": 0}}}}), ("spec.conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "s", "namespace": "n"}}}}),
    (SCHEMA, {}), (SCHEMA, {"type": "string"}), (f"{SCHEMA}.type", GONE), (f"{SCHEMA}.additionalProperties", True), (f"{SCHEMA}.nullable", True), (f"{SCHEMA}.x-kubernetes-preserve-unknown-fields", True), (f"{SCHEMA}.x-kubernetes-preserve-unknown-fields", False), (f"{SCHEMA}.required", ["spec"]),
    (f"{SCHEMA}.properties.metadata", {"type": "object"}), (f"{SCHEMA}.properties.metadata", {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}), (f"{SCHEMA}.properties.metadata", {"type": "object", "properties": {"labels": {"type": "object"}}}), (f"{SCHEMA}.properties.kind", {"type": "integer"}),
    (SPEC, {}), (SPEC, {"properties": {}}), (SPEC, {"type": "nope"}), (SPEC, {"type": "array"}), (SPEC, {"type": "array", "items": {"type": "string"}}), (SPEC, {"type": "array", "items": {}}), (SPEC, {"type": "array", "items": [{"type": "string"}]}), (SPEC, {"type": "object", "items": {"type": "string"}}),
    (SPEC, {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}), (SPEC, {"type": "object", "additionalProperties": {"type": "string"}}), (SPEC, {"type": "object", "additionalProperties": False}), (SPEC, {"type": "object", "additionalProperties": True}), (SPEC, {"$ref": "#/x"}), (SPEC, {"type": "object", "definitions": {}}), (SPEC, {"type": "object", "definitions": {"a": {}}}), (SPEC, {"type": "object", "patternProperties": {"a": {}}}),
    (SPEC, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}), (SPEC, {"type": "array", "items": {"type": "string"}, "uniqueItems": False}), (SPEC, {"type": "object", "dependencies": {"a": ["b"]}}), (SPEC, {"type": "object", "id": "x"}), (SPEC, {"type": "object", "additionalItems": True}),
    (SPEC, {"type": "string", "x-kubernetes-int-or-string": True}), (SPEC, {"x-kubernetes-int-or-string": True}), (SPEC, {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}), (SPEC, {"anyOf": [{"type": "integer"}, {"type": "string"}]}), (SPEC, {"type": "object", "anyOf": [{"required": ["a"]}]}), (SPEC, {"type": "object", "anyOf": [{"type": "object"}]}),
    (SPEC, {"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}), (SPEC, {"type": "object", "properties": {"b": {"type": "integer"}}, "anyOf": [{"properties": {"b": {"minimum": 1}}}]}), (SPEC, {"type": "object", "not": {"description": "x"}}), (SPEC, {"type": "object", "not": {"required": ["b"]}}), (SPEC, {"type": "object", "allOf": [{"default": {}}]}), (SPEC, {"type": "object", "oneOf": [{"nullable": True}]}),
    (SPEC, {"type": "object", "x-kubernetes-embedded-resource": True}), (SPEC, {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}), (SPEC, {"type": "string", "x-kubernetes-embedded-resource": True}), (SPEC, {"x-kubernetes-preserve-unknown-fields": True}),
    (SPEC, {"type": "object", "properties": {"a": {"type": "string"}}, "default": {"a": "b"}}), (SPEC, {"type": "object", "properties": {"a": {"type": "string"}}, "default": {"a": 1}}), (SPEC, {"type": "object", "properties": {"a": {"type": "string"}}, "default": {"z": 1}}), (SPEC, {"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "x"}}}), (SPEC, {"type": "object", "default": None}), (SPEC, {"type": "object", "nullable": True, "default": None}),
    (A, {"type": "string", "default": 5}), (A, {"type": "integer", "default": 5, "minimum": 6}), (A, {"type": "string", "enum": ["a", "b"], "default": "c"}), (A, {"type": "string", "enum": ["a", "b"]}), (A, {"type": "string", "enum": []}), (A, {"type": "string", "enum": ["a", "a"]}), (A, {"type": "integer", "enum": ["a"]}), (A, {"type": "string", "pattern": "("}), (A, {"type": "string", "pattern": "^a$"}), (A, {"type": "string", "format": "nope"}), (A, {"type": "string", "format": "date-time"}), (A, {"type": "string", "minLength": -1}), (A, {"type": "string", "maxLength": 5}),
    (A, {"type": "integer", "multipleOf": 0}), (A, {"type": "integer", "multipleOf": 2}), (A, {"type": "number", "minimum": 1, "exclusiveMinimum": True}), (A, {"type": "integer", "format": "int32"}), (A, {"type": "string", "title": "x", "example": "y", "externalDocs": {"url": "z"}}),
    (A, {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}), (A, {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}), (A, {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}), (A, {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}),
    (A, {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}), (A, {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string", "default": ""}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}),
    (A, {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["z"]}), (A, {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "k"]}), (A, {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["k"]}),
    (A, {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "nope"}), (A, {"type": "string", "x-kubernetes-list-type": "set"}), (A, {"type": "object", "x-kubernetes-map-type": "atomic"}), (A, {"type": "object", "x-kubernetes-map-type": "nope"}), (A, {"type": "array", "items": {"type": "string", "nullable": True}, "x-kubernetes-list-type": "set"}),
    (f"{SPEC}.x-kubernetes-validations", rule("true")), (f"{SPEC}.x-kubernetes-validations", rule("self.a == 'x'")), (f"{SPEC}.x-kubernetes-validations", rule("self.b == 'x'")), (f"{SPEC}.x-kubernetes-validations", rule("1")), (f"{SPEC}.x-kubernetes-validations", rule("(")), (f"{SPEC}.x-kubernetes-validations", rule("")), (f"{SPEC}.x-kubernetes-validations", [{}]), (f"{SPEC}.x-kubernetes-validations", rule("self.a == 1")),
    (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", message="needs a")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", message="two\nlines")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", message=" ")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", messageExpression="'x'")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", messageExpression="1")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", messageExpression="(")),
    (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", reason="FieldValueForbidden")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", reason="Nope")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", fieldPath=".a")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", fieldPath=".z")), (f"{SPEC}.x-kubernetes-validations", rule("has(self.a)", fieldPath="a")),
    (f"{SPEC}.x-kubernetes-validations", rule("self == oldSelf")), (f"{SPEC}.x-kubernetes-validations", rule("!oldSelf.hasValue() || self == oldSelf.value()", optionalOldSelf=True)), (f"{SPEC}.x-kubernetes-validations", rule("true", optionalOldSelf=True)),
    (f"{A}.x-kubernetes-validations", rule("self.matches('^a+$')")), (f"{A}.x-kubernetes-validations", rule("self.matches('(')")), (f"{A}.x-kubernetes-validations", rule("self.size() < 5")), (f"{SCHEMA}.x-kubernetes-validations", rule("self.metadata.name.startsWith('a')")), (f"{SCHEMA}.x-kubernetes-validations", rule("self.metadata.labels == {}")),
    (A, {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": rule("self.contains('x')")}}}}), (A, {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5, "x-kubernetes-validations": rule("self.contains('x')")}}), (A, {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rule("self.all(x, self.all(y, x == y))")}),
]

# Two versions with one schema, a subresource each, columns and selectable fields; what objects come to is compared.
THING = {
    "spec": {
        "type": "object", "required": ["size"],
        "x-kubernetes-validations": [{"rule": "self.size <= 5", "message": "at most five"}, {"rule": "!has(oldSelf.fixed) || self.fixed == oldSelf.fixed", "message": "is fixed", "reason": "FieldValueForbidden", "fieldPath": ".fixed"}],
        "properties": {
            "size": {"type": "integer", "minimum": 0}, "fixed": {"type": "string"}, "color": {"type": "string", "enum": ["red", "blue"], "default": "red"}, "port": {"x-kubernetes-int-or-string": True}, "maybe": {"type": "string", "nullable": True},
            "when": {"type": "string", "format": "date-time"}, "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5}, "ratio": {"type": "number", "maximum": 1}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "tags": {"type": "array", "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}}, "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "x"}}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"], "items": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}, "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "replicas": {"type": "integer"}, "not": {"type": "string", "not": {"enum": ["no"]}},
        },
    },
    "status": {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}, "selector": {"type": "string"}}},
}
THINGS = definition(
    "things", "Thing", THING, names={"shortNames": ["th"], "categories": ["all"], "singular": "thing"},
    subresources={"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
    additionalPrinterColumns=[{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}, {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1}, {"name": "When", "type": "date", "jsonPath": ".spec.when"}],
    selectableFields=[{"jsonPath": ".spec.color"}],
)
THINGS["spec"]["versions"].append({"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}})
THINGS["spec"]["versions"].append({"name": "v3", "served": False, "storage": False, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}})
PLAIN = definition("plains", "Plain", {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}, scope="Cluster", group="plain.example.com")

THING_BAD = [
    ("spec", GONE), ("spec", {}), ("spec", None), ("spec", "x"), ("spec.size", "5"), ("spec.size", 1.5), ("spec.size", 2.0), ("spec.size", -1), ("spec.size", 6), ("spec.size", 5), ("spec.size", None), ("spec.color", "green"), ("spec.color", "blue"), ("spec.color", None), ("spec.color", 5), ("spec.port", 80), ("spec.port", "web"), ("spec.port", True), ("spec.maybe", None), ("spec.maybe", "x"),
    ("spec.when", "2026-01-01T00:00:00Z"), ("spec.when", "yesterday"), ("spec.name", "abc"), ("spec.name", "ABC"), ("spec.name", "abcdef"), ("spec.ratio", 0.5), ("spec.ratio", 2), ("spec.ratio", "x"), ("spec.free", {"a": {"b": [1, None]}}), ("spec.free", []), ("spec.tags", ["a", "b"]), ("spec.tags", ["a", "a"]), ("spec.tags", ["a", "b", "c", "d"]), ("spec.tags", [1]), ("spec.tags", {}),
    ("spec.map", {"a": 1}), ("spec.map", {"a": "1"}), ("spec.map", {"a": 1, "b": 2, "c": 3}), ("spec.nested", {}), ("spec.nested", {"deep": "y"}), ("spec.nested", {"deep": None}), ("spec.nested", {"gone": 1}), ("spec.ports", [{"port": 1}]), ("spec.ports", [{"port": 1}, {"port": 1}]), ("spec.ports", [{"name": "a"}]), ("spec.ports", [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]),
    ("spec.pod", {}), ("spec.pod", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "more": 1}), ("spec.pod", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A_b"}}), ("spec.pod", {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b c"}}}), ("spec.pod", {"kind": "Pod"}), ("spec.one", {"a": "x"}), ("spec.one", {"b": "x"}), ("spec.one", {"a": "x", "b": "y"}), ("spec.one", {}),
    ("spec.not", "no"), ("spec.not", "yes"), ("spec.unknown", 1), ("status", {"phase": "x"}), ("status", {"phase": 1}), ("extra", 1), ("apiVersion", "example.com/v2"), ("apiVersion", "example.com/v9"), ("kind", "Other"), ("kind", GONE), ("apiVersion", GONE), ("spec", {"size": 9, "color": "green", "name": "ABC"}),
]

THING_PATCHES = [
    ("merge", {"spec": {"size": 3}}), ("merge", {"spec": {"size": 9}}), ("merge", {"spec": {"size": "x"}}), ("merge", {"spec": {"fixed": "b"}}), ("merge", {"spec": {"fixed": None}}), ("merge", {"spec": {"fixed": "a"}}), ("merge", {"spec": {"unknown": 1}}), ("merge", {"spec": {"color": None}}), ("merge", {"spec": None}), ("merge", {"status": {"phase": "x"}}), ("merge", {"metadata": {"labels": {"a": "b"}}}), ("merge", {"metadata": {"name": "other"}}), ("merge", {"kind": "Other"}), ("merge", {"apiVersion": "example.com/v2"}),
    ("strategic-merge", {"spec": {"size": 3}}), ("json", [{"op": "replace", "path": "/spec/size", "value": 4}]), ("json", [{"op": "replace", "path": "/spec/none", "value": 4}]), ("json", [{"op": "test", "path": "/spec/size", "value": 99}]), ("json", [{"op": "remove", "path": "/spec/size"}]), ("json", [{"op": "add", "path": "/spec/tags", "value": ["a"]}]),
]

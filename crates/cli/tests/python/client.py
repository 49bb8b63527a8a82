"""What a script with Python's client does against the server; an assertion that fails ends it."""

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

config.load_kube_config()
core = client.CoreV1Api()
api = dynamic.DynamicClient(client.ApiClient())


def refused(code, call, *args, **kwargs):
    """The message of a call that must be refused with a code."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert error.status == code, error
        return f"{error.reason} {error.body}"
    raise AssertionError("it was not refused")


# A pod is defaulted by SCC in a namespace that has its ranges as soon as it is seen.
core.create_namespace({"metadata": {"name": "python"}})
account = core.read_namespaced_service_account("default", "python")
assert account.metadata.namespace == "python"
pod = core.create_namespaced_pod(
    "python",
    {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web"}]}},
)
assert pod.metadata.annotations["openshift.io/scc"]
assert pod.spec.service_account_name == "default"

# A change is watched from the version of a list.
version = core.list_namespaced_pod("python").metadata.resource_version
core.patch_namespaced_pod("web", "python", {"metadata": {"labels": {"tier": "front"}}})
for event in watch.Watch().stream(core.list_namespaced_pod, "python", resource_version=version, timeout_seconds=30):
    assert event["type"] == "MODIFIED", event
    assert event["object"].metadata.labels == {"tier": "front"}
    break
else:
    raise AssertionError("the watch ended without the change")
assert not core.list_namespaced_pod("python", label_selector="tier=back").items

# Pages.
for number in range(5):
    core.create_namespaced_config_map("python", {"metadata": {"name": f"page-{number}"}})
page = core.list_namespaced_config_map("python", limit=2)
names = [item.metadata.name for item in page.items]
while page.metadata._continue:
    page = core.list_namespaced_config_map("python", limit=2, _continue=page.metadata._continue)
    names += [item.metadata.name for item in page.items]
assert [name for name in names if name.startswith("page")] == [f"page-{n}" for n in range(5)]

# SCCs by the dynamic client, which reads discovery; server-side apply with a conflict.
sccs = api.resources.get(api_version="security.openshift.io/v1", kind="SecurityContextConstraints")
assert "restricted-v2" in [scc.metadata.name for scc in sccs.get().items]
maps = api.resources.get(api_version="v1", kind="ConfigMap")


def apply(value, manager, **kwargs):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"key": value}}
    return maps.server_side_apply(body=body, name="applied", namespace="python", field_manager=manager, **kwargs)


apply("one", "first")
assert "conflict" in refused(409, apply, "two", "second")
assert apply("two", "second", force_conflicts=True).data.key == "two"

# Who may: the review of another, and a token that acts as its account.
reviews = client.AuthorizationV1Api()
question = {"namespace": "python", "verb": "get", "resource": "secrets"}
review = {"spec": {"user": "system:serviceaccount:python:default", "resourceAttributes": question}}
assert not reviews.create_subject_access_review(review).status.allowed
token = core.create_namespaced_service_account_token("default", "python", {"spec": {"expirationSeconds": 600}})
own = client.Configuration.get_default_copy()
own.cert_file = own.key_file = None
own.api_key = {"authorization": f"Bearer {token.status.token}"}
refused(403, client.CoreV1Api(client.ApiClient(own)).list_namespaced_secret, "python")

# The pod has no node: exec is decided on, and then says so.
said = refused(0, stream, core.connect_get_namespaced_pod_exec, "web", "python", command=["ls"], stdout=True)
assert "400" in said, said

core.delete_namespaced_pod("web", "python", grace_period_seconds=0)
refused(404, core.read_namespaced_pod, "web", "python")
refused(409, core.create_namespace, {"metadata": {"name": "python"}})
print("python's client is served")

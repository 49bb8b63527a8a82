"""Workloads, what is done to them, and what pods come to: one scenario after another, each in a namespace of its own.

A scenario has stages. Of each, the requests are sent (`{ns}` in them is the namespace), then pods are played: those that are pending get the
phase of the stage, but for those that it leaves alone, and those on their way out go. What the kinds of the scenario have come to at the
end of the last stage is what is recorded.
"""

APPS, BATCH, CORE = "/apis/apps/v1/namespaces/{ns}", "/apis/batch/v1/namespaces/{ns}", "/api/v1/namespaces/{ns}"
RUNNING, PENDING, SUCCEEDED, FAILED = "Running", "", "Succeeded", "Failed"


def post(path, body):
    return ["POST", path, body]


def patch(path, body):
    return ["PATCH", path, body]


def template(image="a:1", policy="Always", more=None, labels=None):
    return {"metadata": {"labels": {"a": "b", **(labels or {})}},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": image}], **(more or {})}}


def stage(*requests, play=RUNNING, but=None, wait=None):
    """`but` are labels of pods that stay as they are; `wait` is how long nothing may happen before the end is seen."""
    made = {"do": list(requests), "play": play}
    if but:
        made["but"] = but
    if wait:
        made["wait"] = wait
    return made


def made(kind, name="web", more=None, **spec):
    body = {"metadata": {"name": name, **(more or {})},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template(), **spec}}
    return post(f"{APPS}/{kind}", body)


def image(kind, tag, name="web", labels=None):
    changed = {"spec": {"containers": [{"name": "c", "image": tag}]}}
    if labels:
        changed["metadata"] = {"labels": {"a": "b", **labels}}
    return patch(f"{APPS}/{kind}/{name}", {"spec": {"template": changed}})


def size(kind, replicas, name="web"):
    return patch(f"{APPS}/{kind}/{name}", {"spec": {"replicas": replicas}})


def spec(kind, name="web", **fields):
    return patch(f"{APPS}/{kind}/{name}", {"spec": fields})


def rolling(surge, missing):
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}


SECOND = {"v": "2"}
D, R, S, E, J = "deployments", "replicasets", "statefulsets", "daemonsets", "jobs"
OF_D, OF_R, OF_S, OF_E, OF_J = [D, R, "pods"], [R, "pods"], [S, "controllerrevisions", "pods"], [E, "controllerrevisions", "pods"], [J, "pods"]


def deployment(**fields):
    return stage(made(D, replicas=fields.pop("replicas", 2), **fields))


def broken(more=None):
    return [stage(made(D, replicas=4, **(more or {}))), stage(image(D, "a:2", labels=SECOND), but=SECOND)]


def stateful(**fields):
    return stage(made(S, replicas=fields.pop("replicas", 2), serviceName="web", **fields))


def node(name, more=None):
    return post("/api/v1/nodes", {"metadata": {"name": "{ns}-" + name, "labels": {"pool": "{ns}"}}, "spec": more or {}})


def daemon(**fields):
    pool = {"nodeSelector": {"pool": "{ns}"}}
    return stage(node("a"), node("b"), made(E, template=template(more=pool), **fields))


def job(**fields):
    return post(f"{BATCH}/jobs", {"metadata": {"name": "sum"}, "spec": {"template": template(policy="Never"), **fields}})


QUOTA = post(f"{CORE}/resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}})

SCENARIOS = {
    "deployment: ready": (OF_D, [deployment()]),
    "deployment: pods stay pending": (OF_D, [stage(made(D, replicas=2), play=PENDING)]),
    "deployment: rolled over": (OF_D, [deployment(), stage(image(D, "a:2"))]),
    "deployment: rolled over and back": (OF_D, [deployment(), stage(image(D, "a:2")), stage(image(D, "a:1"))]),
    "deployment: rolled over and back twice": (OF_D, [deployment(), *[stage(image(D, f"a:{tag}")) for tag in (2, 1, 2, 1)]]),
    "deployment: paused and changed": (OF_D, [deployment(), stage(spec(D, paused=True)), stage(image(D, "a:2"))]),
    "deployment: paused, changed and resumed": (OF_D, [deployment(), stage(spec(D, paused=True)), stage(image(D, "a:2")), stage(spec(D, paused=False))]),
    "deployment: paused and scaled": (OF_D, [deployment(), stage(spec(D, paused=True)), stage(size(D, 3))]),
    "deployment: created paused": (OF_D, [deployment(paused=True)]),
    "deployment: scaled up": (OF_D, [deployment(), stage(size(D, 4))]),
    "deployment: scaled down": (OF_D, [deployment(replicas=4), stage(size(D, 1))]),
    "deployment: scaled to none": (OF_D, [deployment(), stage(size(D, 0))]),
    "deployment: recreated": (OF_D, [deployment(strategy={"type": "Recreate"}), stage(image(D, "a:2"))]),
    "deployment: one revision is kept": (OF_D, [deployment(revisionHistoryLimit=1), *[stage(image(D, f"a:{tag}")) for tag in (2, 3, 4)]]),
    "deployment: annotations are those of its set": (OF_D, [deployment(more={"annotations": {"why": "first"}}),
        stage(patch(f"{APPS}/{D}/web", {"metadata": {"annotations": {"why": "second"}}}))]),
    "deployment: causes of changes": (OF_D, [deployment(more={"annotations": {"kubernetes.io/change-cause": "first"}}),
        stage(patch(f"{APPS}/{D}/web", {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}},
                                       "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}}))]),
    "deployment: rolled over without surge": (OF_D, [deployment(strategy=rolling(0, 1)), stage(image(D, "a:2"))]),
    "deployment: rolled over at once": (OF_D, [deployment(strategy=rolling("100%", 0)), stage(image(D, "a:2"))]),
    "deployment: the new form does not start": (OF_D, broken()),
    "deployment: the new form does not start, large surge": (OF_D, broken({"strategy": rolling(2, 2)})),
    "deployment: scaled while the new form does not start": (OF_D, [*broken(), stage(size(D, 10), but=SECOND)]),
    "deployment: scaled down while the new form does not start": (OF_D, [*broken(), stage(size(D, 2), but=SECOND)]),
    "deployment: a third form while the second does not start": (OF_D, [*broken(), stage(image(D, "a:3", labels={"v": "3"}), but=SECOND)]),
    "deployment: back while the second form does not start": (OF_D, [*broken(), stage(image(D, "a:1", labels={"v": None}), but=SECOND)]),
    "deployment: another minReadySeconds": (OF_D, [deployment(), stage(spec(D, minReadySeconds=1))]),
    "deployment: too late": (OF_D, [stage(made(D, replicas=1, progressDeadlineSeconds=3), play=PENDING, wait=9)]),
    "replicaset: ready": (OF_R, [stage(made(R, replicas=3))]),
    "replicaset: scaled down": (OF_R, [stage(made(R, replicas=3)), stage(size(R, 1))]),
    "replicaset: pods stay pending": (OF_R, [stage(made(R, replicas=2), play=PENDING)]),
    "replicationcontroller: ready and scaled": (["replicationcontrollers", "pods"], [
        stage(post(f"{CORE}/replicationcontrollers", {"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"a": "b"}, "template": template()}})),
        stage(patch(f"{CORE}/replicationcontrollers/web", {"spec": {"replicas": 1}}))]),
    "statefulset: ready": (OF_S, [stateful()]),
    "statefulset: the first pod stays pending": (OF_S, [stage(made(S, replicas=2, serviceName="web"), play=PENDING)]),
    "statefulset: rolled over": (OF_S, [stateful(), stage(image(S, "a:2"))]),
    "statefulset: rolled over and back": (OF_S, [stateful(), stage(image(S, "a:2")), stage(image(S, "a:1"))]),
    "statefulset: scaled up": (OF_S, [stateful(), stage(size(S, 3))]),
    "statefulset: scaled down": (OF_S, [stateful(replicas=3), stage(size(S, 1))]),
    "statefulset: parallel": (OF_S, [stage(made(S, replicas=3, serviceName="web", podManagementPolicy="Parallel"), play=PENDING)]),
    "statefulset: rolled over in parallel": (OF_S, [stateful(podManagementPolicy="Parallel"), stage(image(S, "a:2"))]),
    "statefulset: changed, pods are renewed when deleted": (OF_S, [stateful(updateStrategy={"type": "OnDelete"}), stage(image(S, "a:2")),
        stage(["DELETE", f"{CORE}/pods/web-1", {}])]),
    "statefulset: partition": (OF_S, [stateful(replicas=3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), stage(image(S, "a:2"))]),
    "statefulset: a pod below the partition is made anew": (OF_S, [
        stateful(replicas=3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), stage(image(S, "a:2")),
        stage(["DELETE", f"{CORE}/pods/web-0", {}])]),
    "statefulset: numbered from five": (OF_S, [stateful(ordinals={"start": 5})]),
    "statefulset: one revision is kept": (OF_S, [stateful(revisionHistoryLimit=1), *[stage(image(S, f"a:{tag}")) for tag in (2, 3, 4)]]),
    "statefulset: the new form does not start": (OF_S, [stateful(), stage(image(S, "a:2", labels=SECOND), but=SECOND)]),
    "statefulset: causes of changes": (OF_S, [stateful(more={"annotations": {"kubernetes.io/change-cause": "first"}})]),
    "daemonset: ready": (OF_E, [daemon()]),
    "daemonset: pods stay pending": (OF_E, [{**daemon(), "play": PENDING}]),
    "daemonset: the new form does not start, with surge": (OF_E, [daemon(updateStrategy=rolling(1, 0)), stage(image(E, "a:2", labels=SECOND), but=SECOND)]),
    "daemonset: changed, pods are renewed when deleted": (OF_E, [daemon(updateStrategy={"type": "OnDelete"}), stage(image(E, "a:2"))]),
    "daemonset: a tainted node": (OF_E, [stage(node("a"), node("b", {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}),
        made(E, template=template(more={"nodeSelector": {"pool": "{ns}"}})))]),
    "job: begun": (OF_J, [stage(job(completions=2, parallelism=1), play=PENDING)]),
    "job: done": (OF_J, [stage(job(completions=2, parallelism=1), play=SUCCEEDED)]),
    "job: done in parallel": (OF_J, [stage(job(completions=4, parallelism=2), play=SUCCEEDED)]),
    "job: running": (OF_J, [stage(job(completions=3, parallelism=2))]),
    "job: failed": (OF_J, [stage(job(backoffLimit=0), play=FAILED)]),
    "job: indexed": (OF_J, [stage(job(completions=3, parallelism=3, completionMode="Indexed"), play=SUCCEEDED)]),
    "job: suspended": (OF_J, [stage(job(suspend=True))]),
    "job: suspended and resumed": (OF_J, [stage(job(suspend=True)), stage(patch(f"{BATCH}/jobs/sum", {"spec": {"suspend": False}}))]),
    "job: running and suspended": (OF_J, [stage(job()), stage(patch(f"{BATCH}/jobs/sum", {"spec": {"suspend": True}}))]),
    "job: too late": (OF_J, [stage(job(activeDeadlineSeconds=2), wait=8)]),
    "job: a queue": (OF_J, [stage(job(parallelism=2), play=SUCCEEDED)]),
}

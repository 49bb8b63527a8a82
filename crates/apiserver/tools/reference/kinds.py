"""What is asked about each built-in kind: a good object, and what is wrong with others.

`at(PATH, VALUE)` is the good object with a value in that place; `without(PATH)` lacks it. Each is created with dry run, so that
the tables need no order.
"""

GONE = object()


def labels(**pairs):
    return {"matchLabels": pairs}


def template(**more):
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}], **more}}


# What is wrong with a pod's template is wrong wherever a template stands.
TEMPLATES = [
    ("metadata.labels", {}), ("metadata.labels", {"app": "b c"}), ("metadata.annotations", {"A b": "c"}),
    ("spec.containers", []), ("spec.containers", GONE), ("spec.containers[0].name", GONE), ("spec.containers[0].name", "A_b"),
    ("spec.containers[0].image", GONE), ("spec.containers[0].image", ""), ("spec.containers[0].image", " i"),
    ("spec.containers[0].imagePullPolicy", "Nope"), ("spec.containers[0].ports", [{"containerPort": 0}]),
    ("spec.containers[0].ports", [{"containerPort": 80, "protocol": "http"}]),
    ("spec.containers[0].ports", [{"containerPort": 80, "name": "a_b"}]),
    ("spec.containers[0].ports", [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]),
    ("spec.containers[0].env", [{"name": ""}]), ("spec.containers[0].env", [{"name": "a", "value": "b"}]),
    ("spec.containers[0].env", [{"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
    ("spec.containers[0].env", [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nope"}}}]),
    ("spec.containers[0].envFrom", [{}]), ("spec.containers[0].envFrom", [{"configMapRef": {"name": "x"}}]),
    ("spec.containers[0].resources", {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
    ("spec.containers[0].resources", {"limits": {"cpu": "-1"}}), ("spec.containers[0].resources", {"limits": {"nope": "1"}}),
    ("spec.containers[0].resources", {"limits": {"cpu": "1"}}),
    ("spec.containers[0].volumeMounts", [{"name": "none", "mountPath": "/x"}]),
    ("spec.containers[0].livenessProbe", {}), ("spec.containers[0].livenessProbe", {"httpGet": {"port": 0}}),
    ("spec.containers[0].livenessProbe", {"httpGet": {"port": 80}}),
    ("spec.containers[0].livenessProbe", {"tcpSocket": {"port": "web"}, "successThreshold": 2}),
    ("spec.containers[0].lifecycle", {"preStop": {}}), ("spec.containers[0].lifecycle", {"preStop": {"exec": {"command": ["x"]}}}),
    ("spec.containers[0].securityContext", {"privileged": True, "allowPrivilegeEscalation": False}),
    ("spec.containers[0].securityContext", {"runAsUser": -1}), ("spec.containers[0].terminationMessagePolicy", "Nope"),
    ("spec.initContainers", [{"name": "c", "image": "i"}]), ("spec.initContainers", [{"name": "d", "image": "i", "restartPolicy": "No"}]),
    ("spec.initContainers", [{"name": "d", "image": "i", "restartPolicy": "Always"}]),
    ("spec.ephemeralContainers", [{"name": "e", "image": "i"}]),
    ("spec.restartPolicy", "Nope"), ("spec.restartPolicy", "OnFailure"), ("spec.restartPolicy", "Never"),
    ("spec.dnsPolicy", "Nope"), ("spec.dnsPolicy", "None"), ("spec.dnsConfig", {"nameservers": ["x"]}),
    ("spec.terminationGracePeriodSeconds", -1), ("spec.activeDeadlineSeconds", 0), ("spec.activeDeadlineSeconds", 5),
    ("spec.nodeSelector", {"a b": "c"}), ("spec.nodeName", "A b"), ("spec.hostname", "A_b"), ("spec.subdomain", "A_b"),
    ("spec.serviceAccountName", "A_b"), ("spec.imagePullSecrets", [{}]), ("spec.hostAliases", [{"ip": "x"}]),
    ("spec.volumes", [{"name": "v"}]), ("spec.volumes", [{"name": "A_b", "emptyDir": {}}]),
    ("spec.volumes", [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
    ("spec.volumes", [{"name": "v", "hostPath": {"path": "/a/../b"}}]), ("spec.volumes", [{"name": "v", "secret": {}}]),
    ("spec.volumes", [{"name": "v", "configMap": {"name": "x", "defaultMode": 9999}}]),
    ("spec.volumes", [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
    ("spec.tolerations", [{"key": "a", "operator": "Nope"}]), ("spec.tolerations", [{"operator": "Equal", "value": "x"}]),
    ("spec.tolerations", [{"key": "a", "operator": "Exists", "value": "x"}]),
    ("spec.affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
    ("spec.affinity", {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}),
    ("spec.topologySpreadConstraints", [{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]),
    ("spec.topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "Nope"}]),
    ("spec.securityContext", {"fsGroup": -1}), ("spec.securityContext", {"sysctls": [{"name": "a..b", "value": "x"}]}),
    ("spec.priority", 5), ("spec.runtimeClassName", "A_b"), ("spec.readinessGates", [{"conditionType": "a b"}]),
    ("spec.schedulingGates", [{"name": "a/b"}]), ("spec.os", {"name": "nope"}), ("spec.setHostnameAsFQDN", True),
    ("spec.hostPID", True), ("spec.shareProcessNamespace", True), ("spec.preemptionPolicy", "Never"),
    ("spec.nope", 1), ("spec.containers", {"name": "c"}), ("spec.containers[0].ports", [{"containerPort": "80"}]),
]

SELECTORS = [
    ("spec.selector", GONE), ("spec.selector", {}), ("spec.selector", labels(app="b")), ("spec.selector", labels(app="a b")),
    ("spec.selector", {"matchExpressions": [{"key": "app", "operator": "In"}]}),
    ("spec.selector", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    ("spec.selector", {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}),
    ("spec.selector", {"matchExpressions": [{"key": "app", "operator": "Nope"}]}),
    ("spec.selector", {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}),
]

REPLICAS = [("spec.replicas", -1), ("spec.replicas", 0), ("spec.replicas", "2"), ("spec.replicas", 1.5), ("spec.minReadySeconds", -1)]

METADATA = [
    ("metadata.name", GONE), ("metadata.name", "A_b"), ("metadata.name", "a/b"), ("metadata.name", ".."), ("metadata.name", "a" * 254),
    ("metadata.name", "a.b"), ("metadata.generateName", "gen-"), ("metadata.labels", {"a": "b c"}), ("metadata.labels", ["a"]),
    ("metadata.annotations", {"a b": "c"}), ("metadata.annotations", {"a": 1}), ("metadata.finalizers", ["a"]), ("metadata.finalizers", ["a.io/b"]),
    ("metadata.ownerReferences", [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]), ("metadata.resourceVersion", "1"),
    ("metadata.managedFields", [{"operation": "Nope"}]), ("nope", 1), ("kind", "Nope"), ("apiVersion", "nope/v1"),
]


def under(path, table):
    return [(f"{path}.{below}", value) for below, value in table]


def policy(**rule):
    return {"podSelector": {}, "ingress": [rule]}


def http(**path):
    return [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}} | path]}}]


def webhook(**more):
    return {"name": "a.b.c", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "objectSelector": labels(nobody="has-this"),
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]} | more


WEBHOOKS = [
    ("webhooks", []), ("webhooks", GONE), ("webhooks[0].name", "a"), ("webhooks[0].name", GONE), ("webhooks[0].name", "A.b.c"),
    ("webhooks", [webhook(), webhook()]), ("webhooks[0].clientConfig", GONE), ("webhooks[0].clientConfig", {}),
    ("webhooks[0].clientConfig.url", "http://a.b"), ("webhooks[0].clientConfig.url", "https://u@a.b"), ("webhooks[0].clientConfig.url", "https://a.b?x=1"),
    ("webhooks[0].clientConfig.url", "https://a.b#x"), ("webhooks[0].clientConfig.url", "nope"), ("webhooks[0].clientConfig.url", "https://"),
    ("webhooks[0].clientConfig.service", {"name": "s", "namespace": "n"}), ("webhooks[0].clientConfig", {"service": {"name": "s", "namespace": "n"}}),
    ("webhooks[0].clientConfig", {"service": {"name": "", "namespace": "n"}}), ("webhooks[0].clientConfig", {"service": {"name": "s"}}),
    ("webhooks[0].clientConfig", {"service": {"name": "s", "namespace": "n", "port": 0}}),
    ("webhooks[0].clientConfig", {"service": {"name": "s", "namespace": "n", "path": "x"}}),
    ("webhooks[0].clientConfig", {"service": {"name": "s", "namespace": "n", "path": "/a//b"}}),
    ("webhooks[0].clientConfig.caBundle", "eA=="), ("webhooks[0].clientConfig.caBundle", "!"),
    ("webhooks[0].admissionReviewVersions", []), ("webhooks[0].admissionReviewVersions", GONE), ("webhooks[0].admissionReviewVersions", ["v2"]),
    ("webhooks[0].admissionReviewVersions", ["v1", "v1"]), ("webhooks[0].admissionReviewVersions", ["v1", "v1beta1"]), ("webhooks[0].admissionReviewVersions", [""]),
    ("webhooks[0].sideEffects", GONE), ("webhooks[0].sideEffects", "Some"), ("webhooks[0].sideEffects", "Unknown"), ("webhooks[0].sideEffects", "NoneOnDryRun"),
    ("webhooks[0].failurePolicy", "Nope"), ("webhooks[0].failurePolicy", "Ignore"), ("webhooks[0].matchPolicy", "Nope"), ("webhooks[0].matchPolicy", "Exact"),
    ("webhooks[0].timeoutSeconds", 0), ("webhooks[0].timeoutSeconds", 31), ("webhooks[0].timeoutSeconds", 30),
    ("webhooks[0].rules", []), ("webhooks[0].rules[0].operations", []), ("webhooks[0].rules[0].operations", ["NOPE"]), ("webhooks[0].rules[0].operations", ["*", "CREATE"]),
    ("webhooks[0].rules[0].apiGroups", []), ("webhooks[0].rules[0].apiGroups", ["*", "a"]), ("webhooks[0].rules[0].apiVersions", []), ("webhooks[0].rules[0].apiVersions", [""]),
    ("webhooks[0].rules[0].resources", []), ("webhooks[0].rules[0].resources", [""]), ("webhooks[0].rules[0].resources", ["*", "pods"]), ("webhooks[0].rules[0].resources", ["*/*", "pods"]),
    ("webhooks[0].rules[0].resources", ["pods/*", "pods/exec"]), ("webhooks[0].rules[0].resources", ["*/scale"]), ("webhooks[0].rules[0].scope", "Nope"), ("webhooks[0].rules[0].scope", "Cluster"),
    ("webhooks[0].matchConditions", [{"name": "a", "expression": "true"}]), ("webhooks[0].matchConditions", [{"name": "a", "expression": "1"}]),
    ("webhooks[0].matchConditions", [{"name": "a", "expression": "("}]), ("webhooks[0].matchConditions", [{"name": "", "expression": "true"}]),
    ("webhooks[0].matchConditions", [{"name": "a", "expression": ""}]), ("webhooks[0].matchConditions", [{"name": "a b", "expression": "true"}]),
    ("webhooks[0].matchConditions", [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]),
    ("webhooks[0].matchConditions", [{"name": "a", "expression": "nope.x"}]), ("webhooks[0].matchConditions", [{"name": "a", "expression": "object.metadata.name == 'x'"}]),
    ("webhooks[0].namespaceSelector", {"matchExpressions": [{"key": "a", "operator": "Nope"}]}), ("webhooks[0].objectSelector", labels(a="b c")),
]

WORKLOAD_STATUS = [{"replicas": 1}, {"replicas": -1}, {"replicas": "x"}, {"observedGeneration": -1}, {"replicas": 1, "readyReplicas": 2}]

# resource: API, kind, good object; `change`: a merge patch that is taken; `bad`: places and values; `updates`: merge patches tried
# with dry run; `status`: statuses tried with dry run.
KINDS = {
    "services": {
        "api": "v1", "kind": "Service", "good": {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}},
        "change": {"spec": {"selector": {"a": "c"}}}, "select": ["spec.type=ClusterIP", "spec.clusterIP=None", "spec.nope=x"],
        "bad": [
            ("metadata.name", "1a"), ("spec.ports", []), ("spec.ports", GONE), ("spec.ports[0].port", 0), ("spec.ports[0].port", 65536), ("spec.ports[0].port", GONE),
            ("spec.ports[0].port", "80"), ("spec.ports[0].targetPort", 0), ("spec.ports[0].targetPort", "web"), ("spec.ports[0].targetPort", "A_b!"), ("spec.ports[0].targetPort", 8080),
            ("spec.ports[0].protocol", "HTTP"), ("spec.ports[0].protocol", "UDP"), ("spec.ports[0].protocol", "SCTP"), ("spec.ports[0].name", "A_b"), ("spec.ports[0].name", "web"),
            ("spec.ports[0].appProtocol", "a b"), ("spec.ports[0].appProtocol", "kubernetes.io/h2c"), ("spec.ports[0].nodePort", 30100),
            ("spec.ports", [{"port": 80}, {"port": 81}]), ("spec.ports", [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]),
            ("spec.ports", [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]), ("spec.ports", [{"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}]),
            ("spec.type", "Nope"), ("spec.type", "NodePort"), ("spec.type", "LoadBalancer"), ("spec.type", "ExternalName"), ("spec.clusterIP", "None"), ("spec.clusterIP", "nope"),
            ("spec.clusterIP", "1.2.3.4"), ("spec", {"type": "ExternalName", "externalName": "a.b"}), ("spec", {"type": "ExternalName", "externalName": "A_b"}),
            ("spec", {"type": "ExternalName", "externalName": "a.b", "clusterIP": "None"}), ("spec", {"type": "ExternalName"}), ("spec", {"clusterIP": "None"}), ("spec", {}),
            ("spec.selector", {"a b": "c"}), ("spec.sessionAffinity", "Nope"), ("spec.sessionAffinity", "ClientIP"), ("spec.sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 5}}),
            ("spec.externalIPs", ["x"]), ("spec.externalIPs", ["127.0.0.1"]), ("spec.externalIPs", ["8.8.8.8"]), ("spec.externalTrafficPolicy", "Local"), ("spec.externalTrafficPolicy", "Nope"),
            ("spec.internalTrafficPolicy", "Nope"), ("spec.internalTrafficPolicy", "Local"), ("spec.ipFamilies", ["IPv4"]), ("spec.ipFamilies", ["IPv5"]), ("spec.ipFamilyPolicy", "Nope"),
            ("spec.ipFamilyPolicy", "SingleStack"), ("spec.loadBalancerIP", "x"), ("spec.loadBalancerSourceRanges", ["1.2.3.0/24"]), ("spec.loadBalancerClass", "a/b"),
            ("spec.publishNotReadyAddresses", True), ("spec.healthCheckNodePort", 30200), ("spec.trafficDistribution", "PreferClose"), ("spec.trafficDistribution", "Nope"),
        ],
        "updates": [{"spec": {"clusterIP": "10.0.0.77"}}, {"spec": {"type": "NodePort"}}, {"spec": {"type": "ExternalName", "externalName": "a.b"}}, {"spec": {"ports": []}}, {"spec": {"ports": [{"port": 81}]}}],
        "status": [{"loadBalancer": {"ingress": [{"ip": "x"}]}}, {"loadBalancer": {}}],
    },
    "endpoints": {
        "api": "v1", "kind": "Endpoints", "good": {"subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}]},
        "change": {"subsets": [{"addresses": [{"ip": "10.1.1.2"}], "ports": [{"port": 81}]}]},
        "bad": [
            ("subsets", []), ("subsets", [{}]), ("subsets[0].addresses", []), ("subsets[0].addresses[0].ip", "x"), ("subsets[0].addresses[0].ip", "127.0.0.1"), ("subsets[0].addresses[0].ip", "169.254.1.1"),
            ("subsets[0].addresses[0].hostname", "A_b"), ("subsets[0].addresses[0].nodeName", "A_b"), ("subsets[0].ports[0].port", 0), ("subsets[0].ports[0].port", 70000), ("subsets[0].ports[0].protocol", "x"),
            ("subsets[0].ports", [{"port": 80}, {"port": 81}]), ("subsets[0].ports[0].name", "A_b"), ("subsets[0].notReadyAddresses", [{"ip": "10.1.1.3"}]),
        ],
    },
    "replicationcontrollers": {
        "api": "v1", "kind": "ReplicationController", "good": {"spec": {"replicas": 0, "selector": {"app": "a"}, "template": template()}},
        "change": {"spec": {"minReadySeconds": 1}}, "scale": True,
        "bad": REPLICAS + [("spec.selector", GONE), ("spec.selector", {}), ("spec.selector", {"app": "b"}), ("spec.template", GONE), ("spec.template.spec.restartPolicy", "Never")],
        "updates": [{"spec": {"selector": {"app": "b"}}}, {"spec": {"replicas": -1}}], "status": WORKLOAD_STATUS,
    },
    "podtemplates": {
        "api": "v1", "kind": "PodTemplate", "good": {"template": template()}, "change": {"template": {"metadata": {"labels": {"app": "c"}}}},
        "bad": under("template", TEMPLATES),
    },
    "resourcequotas": {
        "api": "v1", "kind": "ResourceQuota", "good": {"spec": {"hard": {"pods": "100"}}}, "change": {"spec": {"hard": {"pods": "90"}}},
        "bad": [
            ("spec.hard", {}), ("spec.hard", {"pods": "x"}), ("spec.hard", {"pods": "1.5"}), ("spec.hard", {"pods": "-1"}), ("spec.hard", {"nope": "1"}), ("spec.hard", {"a.io/nope": "1"}), ("spec.hard", {"requests.a.io/x": "1"}),
            ("spec.hard", {"requests.cpu": "500m", "limits.memory": "1Gi"}), ("spec.hard", {"count/pods": "1"}), ("spec.hard", {"count/deployments.apps": "1"}), ("spec.hard", {"services.nodeports": "1m"}),
            ("spec.scopes", ["Nope"]), ("spec.scopes", ["BestEffort"]), ("spec.scopes", ["BestEffort", "NotBestEffort"]), ("spec.scopes", ["Terminating"]), ("spec.scopeSelector", {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]}),
            ("spec.scopeSelector", {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}), ("spec.scopeSelector", {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["a"]}]}),
            ("spec.scopeSelector", {"matchExpressions": [{"scopeName": "Nope", "operator": "Exists"}]}),
            ("spec", {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]}), ("spec.hard", {"gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
        ],
        "updates": [{"spec": {"scopes": ["BestEffort"]}}, {"spec": {"hard": {"pods": "-1"}}}], "status": [{"hard": {"pods": "1"}}, {"hard": {"pods": "-1"}}, {"used": {"nope": "1"}}],
    },
    "limitranges": {
        "api": "v1", "kind": "LimitRange", "good": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}, "change": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "2"}}]}},
        "bad": [
            ("spec.limits", []), ("spec.limits", GONE), ("spec.limits[0].type", "Nope"), ("spec.limits[0].type", GONE), ("spec.limits[0].type", "Pod"), ("spec.limits[0].min", {"cpu": "2"}), ("spec.limits[0].max", {"cpu": "500m"}), ("spec.limits[0].max", {"cpu": "2"}),
            ("spec.limits[0].defaultRequest", {"cpu": "2"}), ("spec.limits[0].defaultRequest", {"cpu": "100m"}), ("spec.limits[0].default", {"nope": "1"}), ("spec.limits[0].maxLimitRequestRatio", {"cpu": "0.5"}), ("spec.limits[0].maxLimitRequestRatio", {"cpu": "2"}),
            ("spec.limits", [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]), ("spec.limits", [{"type": "PersistentVolumeClaim"}]), ("spec.limits", [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]),
            ("spec.limits", [{"type": "Pod", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "1"}}]), ("spec.limits", [{"type": "a.io/Image", "max": {"storage": "1Gi"}}]),
        ],
    },
    "deployments": {
        "api": "apps/v1", "kind": "Deployment", "good": {"spec": {"replicas": 0, "selector": labels(app="a"), "template": template()}},
        "change": {"spec": {"paused": True}}, "scale": True,
        "bad": REPLICAS + SELECTORS + under("spec.template", TEMPLATES) + [
            ("spec.template", GONE), ("spec.strategy", {"type": "Nope"}), ("spec.strategy", {"type": "Recreate"}), ("spec.strategy", {"type": "Recreate", "rollingUpdate": {}}),
            ("spec.strategy", {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), ("spec.strategy", {"rollingUpdate": {"maxSurge": "x"}}), ("spec.strategy", {"rollingUpdate": {"maxSurge": "10%"}}), ("spec.strategy", {"rollingUpdate": {"maxUnavailable": "101%"}}),
            ("spec.strategy", {"rollingUpdate": {"maxSurge": -1}}), ("spec.strategy", {"rollingUpdate": {"maxSurge": "200%"}}), ("spec.revisionHistoryLimit", -1), ("spec.revisionHistoryLimit", 0), ("spec.progressDeadlineSeconds", 0), ("spec.progressDeadlineSeconds", -1),
            ("spec", {"minReadySeconds": 600, "selector": labels(app="a"), "template": template()}), ("spec.rollbackTo", {}), ("spec.paused", "x"),
        ],
        "updates": [{"spec": {"selector": labels(app="b")}}, {"spec": {"selector": None}}, {"spec": {"template": {"metadata": {"labels": {"app": None}}}}}, {"spec": {"replicas": -1}}, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, {"spec": {"strategy": {"type": "Recreate"}}}],
        "status": WORKLOAD_STATUS + [{"conditions": [{"type": "Available", "status": "True"}]}, {"replicas": 1, "availableReplicas": 1, "readyReplicas": 0}, {"updatedReplicas": 3}],
    },
    "replicasets": {
        "api": "apps/v1", "kind": "ReplicaSet", "good": {"spec": {"replicas": 0, "selector": labels(app="a"), "template": template()}}, "change": {"spec": {"minReadySeconds": 1}}, "scale": True,
        "bad": REPLICAS + SELECTORS + [("spec.template", GONE), ("spec.template.spec.restartPolicy", "Never"), ("spec.template.spec.containers", [])],
        "updates": [{"spec": {"selector": labels(app="b")}}, {"spec": {"replicas": -1}}, {"spec": {"template": {"metadata": {"labels": {"app": None}}}}}],
        "status": WORKLOAD_STATUS + [{"replicas": 1, "fullyLabeledReplicas": 2}, {"replicas": 1, "availableReplicas": 1, "readyReplicas": 0}],
    },
    "statefulsets": {
        "api": "apps/v1", "kind": "StatefulSet", "good": {"spec": {"replicas": 0, "serviceName": "s", "selector": labels(app="a"), "template": template()}}, "change": {"spec": {"minReadySeconds": 1}}, "scale": True,
        "bad": REPLICAS + SELECTORS + [
            ("spec.template", GONE), ("spec.template.spec.restartPolicy", "Never"), ("spec.serviceName", GONE), ("spec.serviceName", "A_b"), ("spec.podManagementPolicy", "Nope"), ("spec.podManagementPolicy", "Parallel"),
            ("spec.updateStrategy", {"type": "Nope"}), ("spec.updateStrategy", {"type": "OnDelete"}), ("spec.updateStrategy", {"type": "OnDelete", "rollingUpdate": {"partition": 1}}), ("spec.updateStrategy", {"rollingUpdate": {"partition": -1}}), ("spec.updateStrategy", {"rollingUpdate": {"partition": 2}}),
            ("spec.ordinals", {"start": -1}), ("spec.ordinals", {"start": 3}), ("spec.persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Nope"}), ("spec.persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Delete"}), ("spec.revisionHistoryLimit", -1),
            ("spec.volumeClaimTemplates", [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]), ("spec.volumeClaimTemplates", [{"metadata": {"name": "v"}}]), ("spec.volumeClaimTemplates", [{}]),
            ("metadata.name", "a" * 64),
        ],
        "updates": [{"spec": {"selector": labels(app="b")}}, {"spec": {"serviceName": "t"}}, {"spec": {"podManagementPolicy": "Parallel"}}, {"spec": {"replicas": 2}}, {"spec": {"ordinals": {"start": 1}}}, {"spec": {"revisionHistoryLimit": 3}}, {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}],
        "status": WORKLOAD_STATUS + [{"replicas": 1, "currentReplicas": 2}, {"replicas": 1, "updatedReplicas": 2}, {"replicas": 1, "collisionCount": -1}],
    },
    "daemonsets": {
        "api": "apps/v1", "kind": "DaemonSet", "good": {"spec": {"selector": labels(app="a"), "template": template(nodeSelector={"no": "where"})}}, "change": {"spec": {"minReadySeconds": 1}},
        "bad": SELECTORS + [
            ("spec.template", GONE), ("spec.template.spec.restartPolicy", "Never"), ("spec.minReadySeconds", -1), ("spec.revisionHistoryLimit", -1), ("spec.updateStrategy", {"type": "Nope"}), ("spec.updateStrategy", {"type": "OnDelete"}),
            ("spec.updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}), ("spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}), ("spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}),
            ("spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": "x"}}), ("spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": "30%"}}), ("spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": "130%"}}), ("spec.template.spec.activeDeadlineSeconds", 5),
        ],
        "updates": [{"spec": {"selector": labels(app="b")}}, {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}],
        "status": [{"currentNumberScheduled": 1}, {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}, {"currentNumberScheduled": -1, "numberMisscheduled": -1, "desiredNumberScheduled": -1, "numberReady": -1}],
    },
    "controllerrevisions": {
        "api": "apps/v1", "kind": "ControllerRevision", "good": {"revision": 1, "data": {"a": 1}}, "change": {"revision": 2},
        "bad": [("revision", -1), ("revision", "x"), ("revision", GONE), ("data", GONE), ("data", "text"), ("data", 5)], "updates": [{"data": {"a": 2}}, {"revision": -1}],
    },
    "jobs": {
        "api": "batch/v1", "kind": "Job", "good": {"spec": {"suspend": True, "template": template(restartPolicy="Never")}}, "change": {"spec": {"parallelism": 2}},
        "bad": [
            ("spec.template", GONE), ("spec.template.spec.restartPolicy", "Always"), ("spec.template.spec.restartPolicy", GONE), ("spec.template.spec.restartPolicy", "OnFailure"), ("spec.parallelism", -1), ("spec.completions", -1), ("spec.completions", 3),
            ("spec.backoffLimit", -1), ("spec.activeDeadlineSeconds", -1), ("spec.activeDeadlineSeconds", 0), ("spec.ttlSecondsAfterFinished", -1), ("spec.ttlSecondsAfterFinished", 0), ("spec.selector", labels(app="a")), ("spec.manualSelector", True),
            ("spec", {"manualSelector": True, "selector": labels(app="a"), "suspend": True, "template": template(restartPolicy="Never")}), ("spec", {"manualSelector": True, "selector": labels(app="b"), "suspend": True, "template": template(restartPolicy="Never")}),
            ("spec.completionMode", "Nope"), ("spec.completionMode", "Indexed"), ("spec", {"completionMode": "Indexed", "completions": 3, "suspend": True, "template": template(restartPolicy="Never")}),
            ("spec", {"completionMode": "Indexed", "completions": 3, "parallelism": 200000, "suspend": True, "template": template(restartPolicy="Never")}),
            ("spec", {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1, "suspend": True, "template": template(restartPolicy="Never")}), ("spec.backoffLimitPerIndex", 1), ("spec.maxFailedIndexes", 1),
            ("spec", {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4, "suspend": True, "template": template(restartPolicy="Never")}),
            ("spec.podReplacementPolicy", "Nope"), ("spec.podReplacementPolicy", "Failed"), ("spec.managedBy", "x"), ("spec.managedBy", "a.io/x"),
            ("spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}), ("spec.podFailurePolicy", {"rules": [{"action": "Nope", "onExitCodes": {"operator": "In", "values": [1]}}]}),
            ("spec.podFailurePolicy", {"rules": [{"action": "FailJob"}]}), ("spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}), ("spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [2, 1]}}]}),
            ("spec.podFailurePolicy", {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}), ("spec.podFailurePolicy", {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}]}),
            ("spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": []}}]}), ("spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {"containerName": "z", "operator": "In", "values": [1]}}]}),
            ("spec.successPolicy", {"rules": [{"succeededCount": 1}]}), ("metadata.name", "a" * 64),
        ],
        "updates": [{"spec": {"completions": 5}}, {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}, {"spec": {"selector": labels(app="b")}}, {"spec": {"backoffLimit": 2}}, {"spec": {"suspend": False}}, {"spec": {"completionMode": "Indexed"}}, {"spec": {"parallelism": -1}}],
        "status": [{"active": 1}, {"active": -1}, {"succeeded": -1}],
    },
    "cronjobs": {
        "api": "batch/v1", "kind": "CronJob", "good": {"spec": {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}}}, "change": {"spec": {"schedule": "0 0 2 1 *"}},
        "bad": [
            ("spec.schedule", GONE), ("spec.schedule", ""), ("spec.schedule", "x"), ("spec.schedule", "* * * *"), ("spec.schedule", "61 * * * *"), ("spec.schedule", "@daily"), ("spec.schedule", "@nope"), ("spec.schedule", "@every 1h"), ("spec.schedule", "TZ=UTC * * * * *"), ("spec.schedule", "CRON_TZ=UTC * * * * *"),
            ("spec.schedule", "*/5 * * * MON-FRI"), ("spec.schedule", "0 0 ? * 7"), ("spec.schedule", "0 0 31 2 *"), ("spec.schedule", "5-1 * * * *"), ("spec.schedule", "* * * JAN *"), ("spec.schedule", "0 0 * * 0,6"), ("spec.schedule", "*/0 * * * *"), ("spec.schedule", "* * * * * *"),
            ("spec.timeZone", "Nope/Nope"), ("spec.timeZone", "Europe/Berlin"), ("spec.timeZone", ""), ("spec.timeZone", "local"), ("spec.timeZone", "UTC"), ("spec.concurrencyPolicy", "Nope"), ("spec.concurrencyPolicy", "Forbid"), ("spec.concurrencyPolicy", "Replace"),
            ("spec.startingDeadlineSeconds", -1), ("spec.startingDeadlineSeconds", 5), ("spec.successfulJobsHistoryLimit", -1), ("spec.failedJobsHistoryLimit", -1), ("spec.failedJobsHistoryLimit", 0), ("metadata.name", "a" * 53),
            ("spec.jobTemplate.spec.template.spec.restartPolicy", "Always"), ("spec.jobTemplate.spec.template.spec.restartPolicy", GONE), ("spec.jobTemplate.spec.selector", labels(app="a")), ("spec.jobTemplate.spec.manualSelector", True), ("spec.jobTemplate.spec.backoffLimit", -1), ("spec.jobTemplate", GONE),
        ],
        "updates": [{"spec": {"schedule": "x"}}, {"spec": {"timeZone": "Nope"}}], "status": [{"lastScheduleTime": "2026-01-01T00:00:00Z"}, {"lastScheduleTime": "x"}],
    },
    "ingresses": {
        "api": "networking.k8s.io/v1", "kind": "Ingress", "good": {"spec": {"rules": http()}}, "change": {"spec": {"rules": http(path="/x")}},
        "bad": [
            ("spec", {}), ("spec", {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}), ("spec", {"defaultBackend": {"service": {"name": "s"}}}), ("spec", {"defaultBackend": {}}), ("spec", {"defaultBackend": {"service": {"name": "S_", "port": {"number": 80}}}}),
            ("spec", {"defaultBackend": {"service": {"name": "s", "port": {"number": 80, "name": "a"}}}}), ("spec", {"defaultBackend": {"resource": {"kind": "A", "name": "b"}}}), ("spec", {"defaultBackend": {"resource": {"kind": "A", "name": "b"}, "service": {"name": "s", "port": {"number": 1}}}}),
            ("spec.rules[0].host", "A_b"), ("spec.rules[0].host", "1.2.3.4"), ("spec.rules[0].host", "*.a.b"), ("spec.rules[0].host", "a.*.b"), ("spec.rules[0].host", ""), ("spec.rules[0].http", {"paths": []}), ("spec.rules[0].http", GONE),
            ("spec.rules", http(path="x")), ("spec.rules", http(path="")), ("spec.rules", http(path="/a//b")), ("spec.rules", http(path="/a/../b")), ("spec.rules", http(path="/a%2fb")), ("spec.rules", http(pathType=None)), ("spec.rules", http(pathType="Nope")),
            ("spec.rules", http(pathType="Exact")), ("spec.rules", http(pathType="ImplementationSpecific", path="")), ("spec.rules", http(pathType="ImplementationSpecific", path="x")), ("spec.rules", http(backend={"service": {"name": "s", "port": {"name": "A_b"}}})), ("spec.rules", http(backend={"service": {"name": "s", "port": {"number": 0}}})),
            ("spec.rules", http(backend={})), ("spec.tls", [{"hosts": ["a.b"], "secretName": "s"}]), ("spec.tls", [{"hosts": ["A_b"]}]), ("spec.tls", [{"secretName": "S_"}]), ("spec.tls", [{"hosts": ["*.a.b"]}]), ("spec.ingressClassName", "a"), ("spec.ingressClassName", "A_b"),
            ("metadata.annotations", {"kubernetes.io/ingress.class": "a"}),
        ],
        "status": [{"loadBalancer": {"ingress": [{"ip": "x"}]}}, {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}, {"loadBalancer": {"ingress": [{"hostname": "1.2.3.4"}]}}, {"loadBalancer": {"ingress": [{"hostname": "A_b"}]}}],
    },
    "ingressclasses": {
        "api": "networking.k8s.io/v1", "kind": "IngressClass", "cluster": True, "good": {"spec": {"controller": "a.io/b"}}, "change": {"spec": {"parameters": {"apiGroup": "a.io", "kind": "P", "name": "p"}}},
        "bad": [("spec.controller", "b"), ("spec.controller", GONE), ("spec", {}), ("spec.controller", "a.io/" + "b" * 300), ("spec.parameters", {"kind": "P"}), ("spec.parameters", {"kind": "P", "name": "p", "scope": "Nope"}), ("spec.parameters", {"kind": "P", "name": "p", "scope": "Namespace"}),
                ("spec.parameters", {"kind": "P", "name": "p", "scope": "Namespace", "namespace": "n"}), ("spec.parameters", {"kind": "P", "name": "p", "namespace": "n"}), ("spec.parameters", {"kind": "P", "name": "p", "apiGroup": "A_"})],
        "updates": [{"spec": {"controller": "c.io/d"}}],
    },
    "networkpolicies": {
        "api": "networking.k8s.io/v1", "kind": "NetworkPolicy", "good": {"spec": {"podSelector": {}}}, "change": {"spec": {"policyTypes": ["Egress"]}},
        "bad": [
            ("spec", {}), ("spec.podSelector", labels(a="b c")), ("spec.podSelector", {"matchExpressions": [{"key": "a", "operator": "Nope"}]}), ("spec.policyTypes", ["Nope"]), ("spec.policyTypes", ["Ingress", "Egress"]), ("spec.policyTypes", ["Ingress", "Egress", "Ingress"]),
            ("spec", policy(**{"from": [{}]})), ("spec", policy(**{"from": [{"podSelector": {}}]})), ("spec", policy(**{"from": [{"ipBlock": {"cidr": "x"}}]})), ("spec", policy(**{"from": [{"ipBlock": {"cidr": "1.2.3.0/24"}}]})), ("spec", policy(**{"from": [{"ipBlock": {"cidr": ""}}]})),
            ("spec", policy(**{"from": [{"ipBlock": {"cidr": "1.2.3.0/24", "except": ["1.2.3.0/28"]}}]})), ("spec", policy(**{"from": [{"ipBlock": {"cidr": "1.2.3.0/24", "except": ["1.2.4.0/28"]}}]})), ("spec", policy(**{"from": [{"ipBlock": {"cidr": "1.2.3.0/24", "except": ["x"]}}]})),
            ("spec", policy(**{"from": [{"ipBlock": {"cidr": "1.2.3.0/24"}, "podSelector": {}}]})), ("spec", policy(ports=[{"port": 80}])), ("spec", policy(ports=[{"port": 0}])), ("spec", policy(ports=[{"port": "A_b!"}])), ("spec", policy(ports=[{"port": "web"}])), ("spec", policy(ports=[{"protocol": "x"}])),
            ("spec", policy(ports=[{"port": 80, "endPort": 79}])), ("spec", policy(ports=[{"port": 80, "endPort": 90}])), ("spec", policy(ports=[{"port": "web", "endPort": 90}])), ("spec", policy(ports=[{"endPort": 90}])), ("spec", {"podSelector": {}, "egress": [{"to": [{"namespaceSelector": {}}]}]}), ("spec", {"podSelector": {}, "egress": [{"to": [{}]}]}),
        ],
    },
    "endpointslices": {
        "api": "discovery.k8s.io/v1", "kind": "EndpointSlice", "good": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"port": 80}]}, "change": {"endpoints": [{"addresses": ["10.1.1.2"]}]},
        "bad": [
            ("addressType", "Nope"), ("addressType", GONE), ("addressType", "IPv6"), ("addressType", "FQDN"), ("endpoints", []), ("endpoints", GONE), ("endpoints[0].addresses", []), ("endpoints[0].addresses", ["x"]), ("endpoints[0].addresses", ["127.0.0.1"]), ("endpoints[0].addresses", ["10.1.1.1"] * 2),
            ("endpoints[0].hostname", "A_b"), ("endpoints[0].nodeName", "A_b"), ("endpoints[0].deprecatedTopology", {"kubernetes.io/hostname": "x"}), ("ports", [{"port": 0}]), ("ports", [{"port": 80}, {"port": 81}]), ("ports", [{"name": "A_b", "port": 80}]), ("ports", [{"port": 80, "protocol": "x"}]), ("ports", [{"port": 80, "appProtocol": "a b"}]),
            ("endpoints[0].conditions", {"ready": True}), ("endpoints[0].zone", "z"), ("endpoints[0].hints", {"forZones": [{"name": "z"}]}), ("endpoints[0].hints", {"forZones": [{"name": "z"}, {"name": "z"}]}),
        ],
        "updates": [{"addressType": "IPv6"}],
    },
    "horizontalpodautoscalers": {
        "api": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "good": {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}, "maxReplicas": 3}}, "change": {"spec": {"maxReplicas": 4}},
        "bad": [
            ("spec.maxReplicas", 0), ("spec.maxReplicas", GONE), ("spec.minReplicas", 0), ("spec.minReplicas", 5), ("spec.minReplicas", 2), ("spec.scaleTargetRef", GONE), ("spec.scaleTargetRef.kind", ""), ("spec.scaleTargetRef.name", GONE), ("spec.scaleTargetRef.name", "a/b"), ("spec.scaleTargetRef.kind", "a/b"),
            ("spec.metrics", []), ("spec.metrics", [{"type": "Nope"}]), ("spec.metrics", [{"type": "Resource"}]), ("spec.metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]),
            ("spec.metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}]), ("spec.metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Nope", "averageUtilization": 5}}}]),
            ("spec.metrics", [{"type": "Resource", "resource": {"name": "", "target": {"type": "Utilization", "averageUtilization": 50}}}]), ("spec.metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"}}}]),
            ("spec.metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "0"}}}]), ("spec.metrics", [{"type": "Pods", "pods": {"metric": {"name": "x"}, "target": {"type": "AverageValue", "averageValue": "1"}}}]), ("spec.metrics", [{"type": "Pods", "pods": {"metric": {"name": ""}, "target": {"type": "AverageValue", "averageValue": "1"}}}]),
            ("spec.metrics", [{"type": "External", "external": {"metric": {"name": "x"}, "target": {"type": "Value", "value": "1"}}}]), ("spec.metrics", [{"type": "Object", "object": {"metric": {"name": "x"}, "target": {"type": "Value", "value": "1"}}}]), ("spec.metrics", [{"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 50}}}]),
            ("spec.behavior", {"scaleDown": {"stabilizationWindowSeconds": 4000}}), ("spec.behavior", {"scaleDown": {"stabilizationWindowSeconds": 300}}), ("spec.behavior", {"scaleUp": {"policies": []}}), ("spec.behavior", {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 5}]}}),
            ("spec.behavior", {"scaleUp": {"policies": [{"type": "Nope", "value": 1, "periodSeconds": 5}]}}), ("spec.behavior", {"scaleUp": {"selectPolicy": "Nope"}}), ("spec.behavior", {"scaleUp": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 5000}]}}),
        ],
        "status": [{"desiredReplicas": 1, "currentReplicas": 1}, {"desiredReplicas": -1, "currentReplicas": -1}],
    },
    "poddisruptionbudgets": {
        "api": "policy/v1", "kind": "PodDisruptionBudget", "good": {"spec": {"minAvailable": 1, "selector": labels(app="a")}}, "change": {"spec": {"minAvailable": 2}},
        "bad": [("spec.minAvailable", -1), ("spec.minAvailable", "50%"), ("spec.minAvailable", "101%"), ("spec.minAvailable", "x"), ("spec.maxUnavailable", 1), ("spec", {"maxUnavailable": "50%", "selector": {}}), ("spec", {"maxUnavailable": -1}), ("spec", {}), ("spec.selector", labels(a="b c")), ("spec.selector", {"matchExpressions": [{"key": "a", "operator": "Nope"}]}), ("spec.unhealthyPodEvictionPolicy", "Nope"), ("spec.unhealthyPodEvictionPolicy", "AlwaysAllow")],
        "updates": [{"spec": {"selector": labels(app="b")}}, {"spec": {"minAvailable": None, "maxUnavailable": 1}}], "status": [{"currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1}, {"currentHealthy": -1, "desiredHealthy": -1, "disruptionsAllowed": -1, "expectedPods": -1}],
    },
    "priorityclasses": {
        "api": "scheduling.k8s.io/v1", "kind": "PriorityClass", "cluster": True, "good": {"value": 100}, "change": {"description": "x"},
        "bad": [("value", 1000000001), ("value", 1000000000), ("value", GONE), ("value", -5), ("value", "x"), ("preemptionPolicy", "Nope"), ("preemptionPolicy", "Never"), ("globalDefault", True), ("metadata.name", "system-x")],
        "updates": [{"value": 5}, {"preemptionPolicy": "Never"}],
    },
    "runtimeclasses": {
        "api": "node.k8s.io/v1", "kind": "RuntimeClass", "cluster": True, "good": {"handler": "runc"}, "change": {"metadata": {"labels": {"a": "b"}}},
        "bad": [("handler", ""), ("handler", GONE), ("handler", "A_b"), ("overhead", {"podFixed": {"cpu": "1"}}), ("overhead", {"podFixed": {"cpu": "-1"}}), ("overhead", {"podFixed": {"nope": "1"}}), ("scheduling", {"nodeSelector": {"a": "b c"}}), ("scheduling", {"nodeSelector": {"a": "b"}}), ("scheduling", {"tolerations": [{"operator": "Nope"}]}), ("scheduling", {"tolerations": [{"key": "a", "operator": "Exists"}] * 2})],
        "updates": [{"handler": "crun"}],
    },
    "storageclasses": {
        "api": "storage.k8s.io/v1", "kind": "StorageClass", "cluster": True, "good": {"provisioner": "a.io/b"}, "change": {"allowVolumeExpansion": True},
        "bad": [("provisioner", ""), ("provisioner", GONE), ("provisioner", "A b"), ("reclaimPolicy", "Nope"), ("reclaimPolicy", "Retain"), ("volumeBindingMode", "Nope"), ("volumeBindingMode", "WaitForFirstConsumer"), ("parameters", {"": "x"}), ("parameters", {"a": "b"}), ("mountOptions", ["a"]), ("allowedTopologies", [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}]), ("allowedTopologies", [{"matchLabelExpressions": [{"key": "a", "values": []}]}])],
        "updates": [{"provisioner": "c.io/d"}, {"parameters": {"a": "b"}}, {"reclaimPolicy": "Retain"}, {"volumeBindingMode": "WaitForFirstConsumer"}],
    },
    "csidrivers": {
        "api": "storage.k8s.io/v1", "kind": "CSIDriver", "cluster": True, "good": {"spec": {}}, "change": {"spec": {"requiresRepublish": True}},
        "bad": [("metadata.name", "-a"), ("spec.attachRequired", False), ("spec.podInfoOnMount", True), ("spec.fsGroupPolicy", "Nope"), ("spec.fsGroupPolicy", "File"), ("spec.volumeLifecycleModes", ["Nope"]), ("spec.volumeLifecycleModes", ["Ephemeral"]), ("spec.tokenRequests", [{"audience": "a"}, {"audience": "a"}]), ("spec.tokenRequests", [{"audience": "a", "expirationSeconds": 5}])],
        "updates": [{"spec": {"attachRequired": False}}, {"spec": {"volumeLifecycleModes": ["Ephemeral"]}}],
    },
    "csinodes": {
        "api": "storage.k8s.io/v1", "kind": "CSINode", "cluster": True, "good": {"spec": {"drivers": []}}, "change": {"spec": {"drivers": [{"name": "a.io", "nodeID": "n", "topologyKeys": ["a"]}]}},
        "bad": [("spec.drivers", GONE), ("spec.drivers", [{"name": "a.io"}]), ("spec.drivers", [{"name": "", "nodeID": "n"}]), ("spec.drivers", [{"name": "a.io", "nodeID": "n"}] * 2), ("spec.drivers", [{"name": "a.io", "nodeID": "n", "allocatable": {"count": -1}}]), ("spec.drivers", [{"name": "a.io", "nodeID": "n", "topologyKeys": ["a b"]}])],
    },
    "mutatingwebhookconfigurations": {
        "api": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "cluster": True, "good": {"webhooks": [webhook()]}, "change": {"webhooks": [webhook(timeoutSeconds=5)]},
        "bad": WEBHOOKS + [("webhooks[0].reinvocationPolicy", "Nope"), ("webhooks[0].reinvocationPolicy", "IfNeeded")],
    },
    "validatingwebhookconfigurations": {
        "api": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "cluster": True, "good": {"webhooks": [webhook()]}, "change": {"webhooks": [webhook(timeoutSeconds=5)]},
        "bad": WEBHOOKS[:12], "updates": [{"webhooks": []}, {"webhooks": [webhook(name="x")]}],
    },
}

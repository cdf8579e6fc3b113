"""Values that can't work, each with the sentence that refuses it: key, value and accepted values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

ARI = {"ari.existingSecret": "asterisk"}
HOSTS = "accepted is a host name or a unicast address"
ADDRESS = "on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP) for the address of each node, or a loopback address"
NETWORK = "accepted is an address, or a network such as 10.0.0.0/8 with host bits zero"
OBJECT = "accepted is the name of an object"
NODES = "accepted is an echo on each node of the relays"
ARI_URL = "accepted is http://HOST:8088/ari or https://HOST:8089/ari"
ARI_HOST = "accepted is a host name, an address of one host (IPv6 in brackets), or $(NODE_IP)"
QUANTITY = "accepted is a quantity such as 500m, 2 or 256Mi"
FREE = "accepted are other ports, or"
SPEC = "defaultPool.spec"
TIER = {"p50Microseconds": 1, "p95Microseconds": 2, "p99Microseconds": 3}

REFUSED: list[tuple[Mapping[str, Any], str]] = [
    # Names
    ({"fullnameOverride": "Upper"}, "fullnameOverride is Upper; accepted are at most 50 lower-case letters"),
    ({"fullnameOverride": "a" * 51}, "accepted are at most 50 lower-case letters"),
    ({"imagePullSecrets": [{}]}, "at '/imagePullSecrets/0': missing property 'name'"),
    ({"imagePullSecrets": [{"name": ""}]}, 'imagePullSecrets[0].name is ""; accepted is the name of a Secret'),
    ({"imagePullSecrets": [{"name": "a..b"}]}, 'imagePullSecrets[0].name is "a..b"'),
    ({"httpToken.existingSecret": "a..b"}, f"httpToken.existingSecret is a..b; {OBJECT}"),
    ({"ari.existingSecret": "Upper"}, f"ari.existingSecret is Upper; {OBJECT}"),
    ({**ARI, "ari.url": "https://a:1/ari", "ari.caSecret": "a b"}, f"ari.caSecret is a b; {OBJECT}"),
    ({"relay.priorityClassName": "not a name"}, f"relay.priorityClassName is not a name; {OBJECT}"),
    ({"relay.priorityClassName": "a: b"}, f"relay.priorityClassName is a: b; {OBJECT}"),
    ({"defaultPool.name": "a..b"}, 'defaultPool.name is "a..b"; accepted is the name of an object'),
    ({"defaultPool.name": "a.-b"}, 'defaultPool.name is "a.-b"'),
    ({"defaultPool.name": ""}, 'defaultPool.name is ""'),
    ({"echo.serviceAccount.name": "a b"}, f"echo.serviceAccount.name is a b; {OBJECT}"),
    ({"operator.serviceAccount.create": False}, "operator.serviceAccount.create is false and its name is empty"),
    ({"commonLabels": {"a b": "c"}}, "commonLabels has a b: c, which no label can be"),
    ({"relay.podLabels": {"a": "b c"}}, "relay.podLabels has a: b c, which no label can be"),
    ({"commonLabels": {"app.kubernetes.io/name": "mine"}}, "by which the chart selects its pods"),
    ({"echo.podAnnotations": {"a b": "c"}}, "echo.podAnnotations has the key a b"),
    ({"relay.nodeSelector": {"a b": "c"}}, "relay.nodeSelector has a b: c, which no label can be"),
    ({"relay.nodeSelector": {"kubernetes.io/os": "windows"}}, "accepted is linux, the system of the images"),
    # Ports
    ({"echo.port": 123}, "at '/echo/port': minimum: got 123, want 1,024"),
    ({"relay.httpPort": 80}, "at '/relay/httpPort': minimum: got 80, want 1,024"),
    ({"echo.httpPort": 443}, "at '/echo/httpPort': minimum: got 443, want 1,024"),
    ({"operator.httpPort": 1}, "at '/operator/httpPort': minimum: got 1, want 1,024"),
    (
        {"relay.httpPort": 10250},
        f"relay.httpPort is 10250, and TCP 10250 of a node is kubelet; {FREE} 10250 in allowPorts",
    ),
    ({"relay.httpPort": 9100}, "relay.httpPort is 9100, and TCP 9100 of a node is node-exporter"),
    ({"relay.httpPort": 8088}, "relay.httpPort is 8088, and TCP 8088 of a node is Asterisk's HTTP server"),
    ({"echo.httpPort": 6443}, "echo.httpPort is 6443, and TCP 6443 of a node is the API server"),
    ({"echo.httpPort": 2379}, "TCP 2379 of a node is etcd"),
    ({"echo.port": 5060}, "echo.port is 5060, and UDP 5060 of a node is SIP"),
    ({"echo.port": 4789}, "UDP 4789 of a node is VXLAN"),
    ({"echo.port": 8472}, "UDP 8472 of a node is VXLAN of flannel and Cilium"),
    ({"echo.port": 30500}, "echo.port is 30500, and 30000-32767 are NodePorts by default"),
    (
        {"portRange": {"start": 30000, "end": 30063}},
        "portRange is 30000-30063, and 30000-32767 are NodePorts by default",
    ),
    ({"portRange": {"start": 29990, "end": 30010}}, 'or "30000-30010" in allowPorts'),
    ({"portRange": {"start": 5000, "end": 5100}}, "portRange is 5000-5100, and UDP 5060 of a node is SIP"),
    ({"portRange": {"start": 30000, "end": 30063}, "allowPorts": ["30000-30062"]}, "are NodePorts by default"),
    ({"allowPorts": ["a"]}, "allowPorts[0] is a; accepted is a port, or a range such as 30000-30063"),
    ({"allowPorts": ["2-1"]}, "allowPorts[0] is 2-1"),
    ({"allowPorts": [70000]}, "allowPorts[0] is 70000"),
    ({"portRange.start": 80}, "at '/portRange/start': minimum: got 80, want 1,024"),
    ({"portRange.end": 70000}, "at '/portRange/end': maximum: got 70,000, want 65,535"),
    ({"portRange.start": "10000"}, "at '/portRange/start': got string, want integer"),
    # The echo
    *(
        ({f"{of}.bindAddress": text}, f"{of}.bindAddress is {text}, {ADDRESS}")
        for of in ("echo", "relay")
        for text in (
            "1.2",
            "::::",
            "dead.beef",
            "999.1.1.1",
            "10.0.0.5",
            "fd00::5",
            "224.0.0.1",
            "$(NODEIP)",
            "localhost",
        )
    ),
    *(
        ({"echo.allow": [text]}, f"echo.allow[0] is {text}; {NETWORK}")
        for text in ("10.0.0.0/99", "10.0.0.5/8", "999.1.1.1", "10.0.0.0/8,evil", "echo.example.com", "::1/64")
    ),
    ({"echo.rate": 10}, "echo.rate is 10, and a call sends 50 packets a second; accepted is 50 or above, or 0"),
    ({"echo.rate": 49}, "echo.rate is 49"),
    ({"echo.rate": -1}, "at '/echo/rate': minimum: got -1, want 0"),
    (
        {"echo.ratePerAddress": 200},
        "its 101 ports is one address that sends 5050 packets a second; accepted is 5050 or",
    ),
    ({"echo.ratePerAddress": 5049}, "echo.ratePerAddress is 5049"),
    ({"echo.dscp": 64}, "at '/echo/dscp': maximum: got 64, want 63"),
    ({"echo.workers": 0}, "at '/echo/workers': minimum: got 0, want 1"),
    ({"echo.rtpOnly": "perhaps"}, "at '/echo/rtpOnly': got string, want boolean"),
    # The relay and its echo
    *(
        ({"relay.echo.host": text}, f"relay.echo.host is {text}; {HOSTS}")
        for text in (
            "0.0.0.0",
            "239.1.1.1",
            "300.1.1.1",
            "..",
            "echo.example.com:4000",
            "a b",
            "",
            "::",
            "::ffff:10.0.0.1",
        )
    ),
    (
        {"relay.echo.port": 4001},
        "relay.echo.port is 4001 and echo.port is 4000, and relay.echo.host 127.0.0.1 is the node's",
    ),
    ({"relay.echo.host": "localhost", "relay.echo.port": 4001}, "relay.echo.port is 4001"),
    ({"echo.bindAddress": "$(NODE_IP)", "relay.echo.host": "localhost"}, "accepted is 127.0.0.1 for relay.echo.host"),
    ({"echo.bindAddress": "::1", "relay.echo.host": "127.0.0.2"}, "accepted is 127.0.0.1 for relay.echo.host"),
    ({"relay.bindAddress": "127.0.0.1", "relay.echo.host": "10.0.0.9"}, "which a loopback address can't reach"),
    ({"relay.bindAddress": "127.0.0.1", "echo.bindAddress": "::1"}, "of two families; accepted are addresses of one"),
    ({"relay.nodeSelector": {"media": "true"}, "echo.nodeSelector": {"other": "true"}}, f"has not; {NODES}"),
    ({"echo.nodeSelector": {"media": "true"}}, "echo.nodeSelector has media: true and relay.nodeSelector has not"),
    (
        {"relay.tolerations": [{"operator": "Exists"}]},
        'relay.tolerations has {"operator":"Exists"} and echo.tolerations',
    ),
    (
        {
            "echo.affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
                    }
                }
            }
        },
        "requires nodes that relay.affinity does not",
    ),
    ({"relay.metricsIntervalSeconds": 0.1}, "relay.metricsIntervalSeconds is 0.1; accepted is a number from 0.2 to 10"),
    ({"relay.metricsIntervalSeconds": "fast"}, "relay.metricsIntervalSeconds is fast"),
    ({"relay.metricsIntervalSeconds": 11}, "relay.metricsIntervalSeconds is 11"),
    ({"relay.echo.extension": "yes"}, "at '/relay/echo/extension': got string, want boolean"),
    ({"relay.dscp": -1}, "at '/relay/dscp': minimum: got -1, want 0"),
    ({"relay.callerNumbers.form": "masked"}, "at '/relay/callerNumbers/form': value must be one of 'Masked', 'Hashed'"),
    ({"relay.callerNumbers.form": "Hashed"}, "relay.callerNumbers.hashKeySecret is empty; accepted is the name of a"),
    ({"relay.callerNumbers.hashKeySecret": "hash"}, "hash, but relay.callerNumbers.form is Masked; accepted is Hashed"),
    (
        {"relay.callerNumbers.form": "Hashed", "relay.callerNumbers.hashKeySecret": "a..b"},
        f"relay.callerNumbers.hashKeySecret is a..b; {OBJECT}",
    ),
    ({"relay.onStop": "Handover"}, "at '/relay/onStop': value must be one of 'Drain', 'HandOver'"),
    ({"logs.level": "info"}, "at '/logs/level': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
    # ARI
    ({"ari.url": "http://10.0.0.9:8088/ari"}, "ari.url is http://10.0.0.9:8088/ari, but relays have no credentials"),
    (
        {"ari.application": "other"},
        "ari.application is other, but relays have no credentials of Asterisk and ignore it",
    ),
    ({"ari.applicationPerNode": True}, "ari.applicationPerNode is true, but relays have no credentials"),
    (
        {"ari.url": "https://pbx:8089/ari", "ari.caSecret": "ca"},
        "but relays have no credentials of Asterisk and ignore it",
    ),
    ({"ari.userKey": "login"}, "ari.userKey is login, but relays have no credentials"),
    *(
        ({**ARI, "ari.url": text}, f"ari.url is {text}; {ARI_URL}")
        for text in (
            "http:///ari",
            "ftp://host/ari",
            "http://a b/ari",
            "http://pbx:8088",
            "http://pbx:8088/asterisk",
            "http://fd00::1:8088/ari",
            "pbx",
            "",
            "http://pbx:port/ari",
        )
    ),
    *(
        ({**ARI, "ari.url": text}, f"ari.url has user, query or fragment; {ARI_URL}")
        for text in ("http://a:s3cret@h:8088/ari", "http://h/ari?api_key=a:s3cret", "http://h:8088/ari#s3cret")
    ),
    *(
        ({**ARI, "ari.url": f"http://{host}:8088/ari"}, f"ari.url has the host {host.strip('[]')}; {ARI_HOST}")
        for host in ("$(NODEIP)", "300.1.1.1", "0.0.0.0", "[::]", "a..b", "[fd00::1::2]")
    ),
    (
        {**ARI, "ari.url": "http://127.0.0.1:99999/ari"},
        "ari.url has the port 99999; accepted is a port from 1 to 65535",
    ),
    ({**ARI, "ari.url": "http://127.0.0.1:9090/ari"}, "port 9090 of the node, which is relay.httpPort"),
    ({**ARI, "ari.url": "http://$(NODE_IP):9091/ari"}, "port 9091 of the node, which is echo.httpPort"),
    ({**ARI, "ari.userKey": "k", "ari.passwordKey": "k"}, "ari.userKey and ari.passwordKey are both k"),
    ({**ARI, "ari.userKey": "user name"}, 'ari.userKey is "user name"; accepted is a key of a Secret'),
    ({**ARI, "ari.userKey": "a: b"}, 'ari.userKey is "a: b"; accepted is a key of a Secret'),
    ({**ARI, "ari.passwordKey": "a/b"}, 'ari.passwordKey is "a/b"'),
    ({**ARI, "ari.caKey": "../ca.crt"}, 'ari.caKey is "../ca.crt"'),
    ({**ARI, "ari.application": "a,b"}, 'ari.application is "a,b"; accepted are 1 to 73 letters'),
    ({**ARI, "ari.application": "a" * 74}, "accepted are 1 to 73 letters"),
    ({**ARI, "ari.application": ""}, 'ari.application is ""'),
    ({"ari.user": "a:b", "ari.password": "s3cret"}, 'ari.user is "a:b"; accepted is the name of a user'),
    ({"ari.user": "a\nb", "ari.password": "s3cret"}, 'ari.user is "a\\nb"'),
    ({"ari.user": " a", "ari.password": "s3cret"}, 'ari.user is " a"'),
    (
        {**ARI, "relay.bindAddress": "127.0.0.1", "ari.url": "http://pbx:8088/ari"},
        "ari.url is http://pbx:8088/ari, an Asterisk that can't send to a loopback address of the relay",
    ),
    (
        {"relay.bindAddress": "127.0.0.1", f"{SPEC}.advertise": {"source": "NodeExternalIP"}},
        "relay.bindAddress is 127.0.0.1 and defaultPool.spec.advertise has Asterisk send to another address",
    ),
    # The operator
    ({"operator.poolNamespaces": ["*"]}, 'operator.poolNamespaces[0] is "*"; accepted is the name of a namespace'),
    ({"operator.poolNamespaces": ["a,b"]}, 'operator.poolNamespaces[0] is "a,b"'),
    ({"operator.poolNamespaces": [""]}, 'operator.poolNamespaces[0] is ""'),
    *(
        ({"operator.allowedEchoHosts": [text]}, f'operator.allowedEchoHosts[0] is "{text}"; accepted is an address')
        for text in ("10.0.0.0/8,evil", "*.example.com", "10.0.0.5/8", "300.1.1.1", "")
    ),
    *(
        ({"operator.allowedAdvertiseAddresses": [text]}, f'operator.allowedAdvertiseAddresses[0] is "{text}"')
        for text in ("echo.example.com", "10.0.0.5/8", "999.1.1.1")
    ),
    ({"operator.replicas": 0}, "at '/operator/replicas': minimum: got 0, want 1"),
    ({"operator.networkPolicy.from": "all"}, "at '/operator/networkPolicy/from': got string, want array"),
    ({"operator.networkPolicy.from": [{"podSelectr": {}}]}, "additional properties 'podSelectr' not allowed"),
    ({"operator.topologySpreadConstraints": [{"maxSkew": 1}]}, "missing properties 'topologyKey', 'whenUnsatisfiable'"),
    (
        {"operator.allowedEchoHosts": ["10.0.0.0/8", "fd00::/8", "echo"]},
        "relay.echo.host is 127.0.0.1, which operator.allowedEchoHosts lacks, so the operator would not accept",
    ),
    (
        {"operator.allowedEchoHosts": ["127.0.0.0/8"], "relay.echo.host": "echo"},
        "relay.echo.host is echo, which operator.allowedEchoHosts lacks",
    ),
    (
        {
            "operator.allowedAdvertiseAddresses": ["192.0.2.0/25"],
            f"{SPEC}.advertise": {"source": "Static", "address": "192.0.2.128"},
        },
        "defaultPool.spec.advertise.address is 192.0.2.128, which operator.allowedAdvertiseAddresses lacks",
    ),
    ({"securityContext.runAsUser": 0}, "have runAsNonRoot true and runAsUser 0"),
    # Pods
    (
        {"relay.tolerations": [{"oprator": "Exists"}]},
        "at '/relay/tolerations/0': additional properties 'oprator",
    ),
    ({"echo.tolerations": [{"key": "a", "effect": "NoRun"}]}, "at '/echo/tolerations/0/effect': value must be one of"),
    ({"echo.tolerations": [{"value": "a"}]}, 'echo.tolerations[0] is {"value":"a"}, without a key'),
    ({"echo.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "and none with Exists"),
    (
        {"echo.tolerations": [{"key": "a", "tolerationSeconds": 5}]},
        "accepted are tolerationSeconds with effect NoExecute",
    ),
    ({"echo.tolerations": [{"key": "a b"}]}, "echo.tolerations[0].key is a b; accepted is the key of a taint"),
    ({"relay.affinity": {"nodeAfinity": {}}}, "additional properties 'nodeAfinity' not allowed"),
    ({"relay.resources": {"limits": {"cpu": "banana"}}}, f"relay.resources.limits.cpu is banana; {QUANTITY}"),
    ({"relay.resources.requests.cpu": "-1"}, f"relay.resources.requests.cpu is -1; {QUANTITY}"),
    ({"relay.resources.requests.cpus": "1"}, "relay.resources.requests has cpus; accepted are cpu, memory"),
    ({"relay.resources.requests.memory": "2Gi"}, "relay.resources.requests.memory is 2Gi, above the limit 1Gi"),
    ({"relay.resources.limits.memory": "256"}, "above the limit 256; accepted is a request up to the limit"),
    (
        {"relay.resources": {"requests": {"memory": "1"}, "limits": {"memory": "256"}}},
        "relay.resources.limits.memory is 256; accepted is 160Mi or above",
    ),
    (
        {"relay.resources": {"requests": {"memory": "1"}, "limits": {"memory": "64Mi"}}},
        "relay.resources.limits.memory is 64Mi; accepted is 160Mi",
    ),
    ({"relay.mediaWorkers": 64}, "accepted is 2176Mi or above for relay.mediaWorkers 64"),
    (
        {"portRange": {"start": 20000, "end": 24095}, "relay.resources.limits.memory": "256Mi"},
        "accepted is 384Mi or above for relay.mediaWorkers 8",
    ),
    ({"relay.mediaWorkers": 0}, "minimum: got 0, want 1"),
    ({"echo.workers": 64}, "echo.resources.limits.memory is 256Mi; accepted is 1072Mi or above for echo.workers 64"),
    (
        {"operator.resources": {"requests": {"memory": "1"}, "limits": {"memory": "64Mi"}}},
        "operator.resources.limits.memory is 64Mi",
    ),
    (
        {"realTime": True, "relay.resources.limits.cpu": "100m"},
        "relay.resources.limits.cpu is 100m and realTime is true",
    ),
    ({"realTime": True, "echo.resources.limits.cpu": 1}, "echo.resources.limits.cpu is 1 and realTime is true"),
    ({"podSecurityContext.runAsUser": 0}, "have runAsNonRoot true and runAsUser 0"),
    ({"podSecurityContext.runAsUsr": 1}, "additional properties 'runAsUsr' not allowed"),
    ({"relay.updateStrategy.maxUnavailable": "0%"}, "relay.updateStrategy.maxUnavailable is 0%; accepted is a number"),
    ({"echo.updateStrategy.maxUnavailable": 0}, "echo.updateStrategy.maxUnavailable is 0"),
    ({"echo.updateStrategy.maxUnavailable": "101%"}, "echo.updateStrategy.maxUnavailable is 101%"),
    ({"echo.updateStrategy.type": "Recreate"}, "value must be one of 'RollingUpdate', 'OnDelete'"),
    ({"relay.extraEnv": [{"name": "BIND_IP", "value": "::"}]}, "relay.extraEnv[0].name is BIND_IP, which the chart or"),
    ({"relay.extraEnv": [{"name": "A"}, {"name": "A"}]}, "relay.extraEnv[1].name is A, which the chart or an earlier"),
    ({"relay.extraEnv": [{"name": "A B"}]}, 'relay.extraEnv[0].name is "A B"; accepted is the name of a variable'),
    ({"relay.extraEnv": [{"name": "A", "value": 1}]}, "at '/relay/extraEnv/0/value': got number, want string"),
    ({"echo.extraVolumes": [{"name": "a"}]}, "echo.extraVolumes[0] has name; accepted are a name and one source"),
    ({"relay.extraVolumes": [{"name": "pools", "emptyDir": {}}]}, "relay.extraVolumes[0].name is pools"),
    (
        {"relay.extraVolumeMounts": [{"name": "a", "mountPath": "/a"}]},
        "accepted is the name of one of relay.extraVolumes",
    ),
    (
        {
            "relay.extraVolumes": [{"name": "a", "emptyDir": {}}],
            "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/etc"}],
        },
        "relay.extraVolumeMounts[0].mountPath is /etc",
    ),
    # The default pool: its schema. Its rules are in test_default_pool_rules.py.
    ({f"{SPEC}.maxCalls": -5}, "at '/defaultPool/spec/maxCalls': minimum: got -5, want 1"),
    ({f"{SPEC}.maxCalls": 5000}, "at '/defaultPool/spec/maxCalls': maximum: got 5,000, want 4,096"),
    ({f"{SPEC}.maxCalls": "many"}, "at '/defaultPool/spec/maxCalls': got string, want integer"),
    ({f"{SPEC}.media": "ulaw"}, "at '/defaultPool/spec/media': got string, want object"),
    (
        {f"{SPEC}.media.format": "opus"},
        "at '/defaultPool/spec/media/format': value must be one of 'ulaw', 'alaw', 'slin16'",
    ),
    ({f"{SPEC}.sla.maxLosPpm": 1}, "at '/defaultPool/spec/sla': additional properties 'maxLosPpm' not allowed"),
    ({f"{SPEC}.sla": "abc"}, "at '/defaultPool/spec/sla': got string, want object"),
    ({f"{SPEC}.sla.tiers": "abc"}, "at '/defaultPool/spec/sla/tiers': got string, want array"),
    ({f"{SPEC}.sla.tiers": [TIER]}, "at '/defaultPool/spec/sla/tiers/0': missing property 'upToCalls'"),
    ({f"{SPEC}.probe.intervalSeconds": 0}, "at '/defaultPool/spec/probe/intervalSeconds': minimum: got 0, want 1"),
    ({f"{SPEC}.reuseDelaySeconds": "5s"}, "at '/defaultPool/spec/reuseDelaySeconds': got string, want integer"),
    ({f"{SPEC}.excludedPorts": [5]}, "at '/defaultPool/spec/excludedPorts/0': minimum: got 5, want 1,024"),
    ({f"{SPEC}.excludedPorts": ["10001"]}, "at '/defaultPool/spec/excludedPorts/0': got string, want integer"),
    ({f"{SPEC}.excludedPorts": [10001, 10001]}, "at '/defaultPool/spec/excludedPorts': items at 0 and 1 are equal"),
    ({f"{SPEC}.excludedPorts": "abc"}, "at '/defaultPool/spec/excludedPorts': got string, want array"),
    (
        {SPEC: {"portRange": {"start": 1, "end": 2}}},
        "at '/defaultPool/spec': additional properties 'portRange' not allowed",
    ),
    # httpBindAddress
    (
        {"httpBindAddress": ["$(NODE_IP)", "a"]},
        "httpBindAddress[1] is a, on all nodes; accepted is $(NODE_IP), localhost",
    ),
    ({"httpBindAddress": ["$(NODE_IP)", "$(NODE_IP)"]}, "httpBindAddress[1] is $(NODE_IP), which is there twice"),
    ({"httpBindAddress": ["0.0.0.0", "localhost"]}, "httpBindAddress has 0.0.0.0, which covers the others"),
    # Values of the same kinds that the review did not have. Those of Kubernetes are in test_parts_of_kubernetes.py.
    (
        {"commonLabels": {"helm.sh/chart": "mine"}},
        "commonLabels has helm.sh/chart, which the chart sets on every object; accepted are",
    ),
    (
        {"operator.serviceAccount.annotations": {"helm.sh/hook": "keep"}},
        "operator.serviceAccount.annotations has helm.sh/hook, by which Helm would take an",
    ),
    (
        {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
        "imagePullSecrets[1].name is a, which is there twice; accepted is each Secret once",
    ),
    ({"commonLabels": {"x" * 254 + "/a": "d"}}, "which no label can be"),
    (
        {"echo.serviceAccount.name": "x", "relay.serviceAccount.name": "x"},
        "relay.serviceAccount.name is x, the account of echo; accepted is a name of its own, or",
    ),
    (
        {"operator.serviceAccount.name": "x", "relay.serviceAccount.name": "x"},
        "operator.serviceAccount.name is x, the account of relay; accepted is a name of its own,",
    ),
    (
        {"operator.serviceAccount.name": "default"},
        "operator.serviceAccount.name is default, which every namespace has; accepted is another",
    ),
    (
        {"relay.serviceAccount.name": "default"},
        "relay.serviceAccount.name is default, which every namespace has; accepted is another",
    ),
    (
        {"operator.serviceAccount": {"create": False, "name": "default"}},
        "operator.serviceAccount.create is false and its name is empty or default; accepted is",
    ),
    (
        {"relay.serviceAccount.name": "rtp-crd-upgrade"},
        "relay.serviceAccount.name is rtp-crd-upgrade, the account of the Job that upgrades the",
    ),
    (
        {"operator.serviceAccount.name": "rtp-crd-upgrade"},
        "operator.serviceAccount.name is rtp-crd-upgrade, the account of the Job that upgrades",
    ),
    (
        {"relay.extraEnv": [{"name": "ADVERTISE_IP", "value": "banana"}]},
        "relay.extraEnv[0].value of ADVERTISE_IP is banana; accepted is an address of one host",
    ),
    (
        {"relay.extraEnv": [{"name": "ADVERTISE_IP", "value": "0.0.0.0"}]},
        "relay.extraEnv[0].value of ADVERTISE_IP is 0.0.0.0; accepted is an address of one host",
    ),
    (
        {"relay.resources": {"requests": {"memory": "128m"}}},
        "relay.resources.requests.memory is 128m, in thousandths; accepted is a whole number",
    ),
    (
        {"relay.resources": {"requests": {"cpu": "100M"}}},
        "relay.resources.requests.cpu is 100M; accepted is a number of processors such as 500m",
    ),
    (
        {"relay.resources": {"requests": {"cpu": "100Gi"}}},
        "relay.resources.requests.cpu is 100Gi; accepted is a number of processors such as 500m",
    ),
    (
        {"relay.resources": {"requests": {"hugepages-2Mi": "4Mi"}}},
        "relay.resources.requests.hugepages-2Mi is 4Mi and its limit is ; accepted is the same",
    ),
    (
        {"relay.resources": {"requests": {"example.com/gpu": "1"}}},
        "relay.resources.requests.example.com/gpu is 1 and its limit is ; accepted is the same",
    ),
    (
        {"relay.resources": {"limits": {"example.com/gpu": "0.5"}}},
        "relay.resources.limits.example.com/gpu is 0.5 and its limit is 0.5; accepted is the",
    ),
    (
        {"relay.resources": {"limits": {"hugepages-banana": "1"}}},
        "relay.resources.limits has hugepages-banana; accepted is hugepages-SIZE, such as",
    ),
    (
        {"relay.resources": {"limits": {"memory": "1Gi", "cpu": "10m"}, "requests": {"cpu": "10m"}}},
        "relay.resources.limits.cpu is 10m; accepted is 100m or above, because a start takes 2 s",
    ),
    ({"allowPorts": [0]}, "allowPorts[0] is 0; accepted is a port, or a range such as 30000-30063"),
    ({"allowPorts": ["0"]}, "allowPorts[0] is 0; accepted is a port, or a range such as 30000-30063"),
    (
        {"echo.allow": ["::ffff:10.0.0.0/104"]},
        "echo.allow[0] is ::ffff:10.0.0.0/104; accepted is an address, or a network such as",
    ),
    ({"echo.allow": ["::"]}, "echo.allow[0] is ::; accepted is an address, or a network such as 10.0.0.0/8 with host"),
    (
        {"echo.allow": ["224.0.0.0/4"]},
        "echo.allow[0] is 224.0.0.0/4; accepted is an address, or a network such as 10.0.0.0/8",
    ),
    ({"echo.bindAddress": "::0"}, "echo.bindAddress is ::0, on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP) for the"),
    (
        {"echo.bindAddress": "0:0:0:0:0:0:0:0"},
        "echo.bindAddress is 0:0:0:0:0:0:0:0, on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP)",
    ),
    (
        {"relay.bindAddress": "::0"},
        "relay.bindAddress is ::0, on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP) for the",
    ),
    (
        {"relay.bindAddress": "0:0:0:0:0:0:0:0"},
        "relay.bindAddress is 0:0:0:0:0:0:0:0, on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP)",
    ),
    (
        {"relay.echo.host": "localhost.", "relay.echo.port": 4001},
        "relay.echo.port is 4001 and echo.port is 4000, and relay.echo.host localhost. is the",
    ),
    (
        {"relay.echo.host": "LOCALHOST", "relay.echo.port": 4001},
        "relay.echo.port is 4001 and echo.port is 4000, and relay.echo.host LOCALHOST is the",
    ),
    (
        {"echo.bindAddress": "::1", "relay.echo.host": "LOCALHOST"},
        "relay.echo.host is LOCALHOST and echo.bindAddress is ::1; accepted is 127.0.0.1 for",
    ),
    (
        {**ARI, "ari.url": "http://[127.0.0.1]:8088/ari"},
        "ari.url has the host 127.0.0.1; accepted is a host name, an address of one host (IPv6",
    ),
    (
        {**ARI, "ari.url": "http://[pbx]:8088/ari"},
        "ari.url has the host pbx; accepted is a host name, an address of one host (IPv6 in",
    ),
    (
        {**ARI, "ari.url": "http://a:8088/$(NODE_IP)/ari"},
        "ari.url is http://a:8088/$(NODE_IP)/ari; accepted is http://HOST:8088/ari or",
    ),
    (
        {**ARI, "ari.url": "http://host:8088//ari"},
        "ari.url is http://host:8088//ari; accepted is http://HOST:8088/ari or",
    ),
    (
        {**ARI, "ari.url": "http://host:8088/../ari"},
        "ari.url is http://host:8088/../ari; accepted is http://HOST:8088/ari or",
    ),
    (
        {**ARI, "ari.url": "http://host:8088/%2e%2e/ari"},
        "ari.url is http://host:8088/%2e%2e/ari; accepted is http://HOST:8088/ari or",
    ),
    (
        {**ARI, "ari.url": "http://localhost.:9090/ari"},
        "ari.url has port 9090 of the node, which is relay.httpPort; accepted are two ports",
    ),
    (
        {**ARI, "ari.url": "http://LOCALHOST:9090/ari"},
        "ari.url has port 9090 of the node, which is relay.httpPort; accepted are two ports",
    ),
    (
        {**ARI, "ari.url": "http://[0:0:0:0:0:0:0:1]:9090/ari"},
        "ari.url has port 9090 of the node, which is relay.httpPort; accepted are two ports",
    ),
    (
        {**ARI, "ari.url": "http://$(NODE_IP):8088/$(NODE_NAME)/ari"},
        "ari.url is http://$(NODE_IP):8088/$(NODE_NAME)/ari; accepted is http://HOST:8088/ari or",
    ),
    (
        {**ARI, "ari.userKey": "."},
        'ari.userKey is "."; accepted is a key of a Secret: letters, digits, dots, hyphens and',
    ),
    (
        {**ARI, "ari.userKey": ".."},
        'ari.userKey is ".."; accepted is a key of a Secret: letters, digits, dots, hyphens and',
    ),
    (
        {**ARI, "ari.userKey": "..a"},
        'ari.userKey is "..a"; accepted is a key of a Secret: letters, digits, dots, hyphens and',
    ),
    (
        {**ARI, "ari.passwordKey": "."},
        'ari.passwordKey is "."; accepted is a key of a Secret: letters, digits, dots, hyphens',
    ),
    ({**ARI, "ari.caKey": "."}, 'ari.caKey is "."; accepted is a key of a Secret: letters, digits, dots, hyphens and'),
    (
        {"ari.user": "a", "ari.password": " s3cret"},
        "ari.password has a line break, a control character or spaces around it; accepted is the",
    ),
    (
        {"ari.user": "a", "ari.password": "s3cret "},
        "ari.password has a line break, a control character or spaces around it; accepted is the",
    ),
    (
        {"ari.user": "a", "ari.password": "s3\ncret"},
        "ari.password has a line break, a control character or spaces around it; accepted is the",
    ),
    (
        {"ari.user": "a", "ari.password": "s3cret\n"},
        "ari.password has a line break, a control character or spaces around it; accepted is the",
    ),
    (
        {"ari.user": "a", "ari.password": "s3\x00cret"},
        "ari.password has a line break, a control character or spaces around it; accepted is the",
    ),
    (
        {"ari.user": "\u200ba", "ari.password": "s3cret"},
        'ari.user is "\\u200ba"; accepted is the name of a user in ari.conf, without a colon, a',
    ),
    (
        {"operator.allowedAdvertiseAddresses": ["::ffff:1.2.3.4"]},
        'operator.allowedAdvertiseAddresses[0] is "::ffff:1.2.3.4"; accepted is an address, or a',
    ),
    (
        {"http.tlsSecret": "c", "http.serverName": "10.0.0.1"},
        "http.serverName is 10.0.0.1; accepted is a DNS name of the certificate, without a",
    ),
    (
        {"http.serverName": "rtp.example.com"},
        "http.serverName is rtp.example.com, but http.tlsSecret is empty and HTTP uses no TLS;",
    ),
    (
        {"image.registry": "r..example.com"},
        "image.registry is r..example.com; accepted is HOST[:PORT][/PATH] without a scheme, for",
    ),
    (
        {"image.registry": "r.example.com/a..b"},
        "image.registry is r.example.com/a..b; accepted is HOST[:PORT][/PATH] without a scheme,",
    ),
    (
        {"image.registry": "r.example.com/a._b"},
        "image.registry is r.example.com/a._b; accepted is HOST[:PORT][/PATH] without a scheme,",
    ),
    (
        {"image.registry": "r.example.com/a___b"},
        "image.registry is r.example.com/a___b; accepted is HOST[:PORT][/PATH] without a scheme,",
    ),
    (
        {"image.registry": "r-.example.com"},
        "image.registry is r-.example.com; accepted is HOST[:PORT][/PATH] without a scheme, for",
    ),
    (
        {"echo.image.repository": "-a/b"},
        "echo.image.repository is -a/b; accepted is [HOST/]PATH in lower case, without a tag,",
    ),
    (
        {"echo.image.repository": "a..b"},
        "echo.image.repository is a..b; accepted is [HOST/]PATH in lower case, without a tag,",
    ),
    (
        {"echo.image.repository": "a._b"},
        "echo.image.repository is a._b; accepted is [HOST/]PATH in lower case, without a tag,",
    ),
    (
        {"echo.image.repository": "a___b"},
        "echo.image.repository is a___b; accepted is [HOST/]PATH in lower case, without a tag,",
    ),
    (
        {"echo.image.repository": "r.example.com:99999/a"},
        "echo.image.repository is r.example.com:99999/a; accepted is [HOST/]PATH in lower case,",
    ),
    (
        {"echo.image.repository": "r_x.example.com/a"},
        "echo.image.repository is r_x.example.com/a; accepted is [HOST/]PATH in lower case,",
    ),
    ({"echo.image.repository": "a" * 256}, "echo.image.repository is"),
    ({**ARI, "ari.caKey": "other.crt"}, "ari.caKey is other.crt, but ari.caSecret and ari.caConfigMap are empty"),
    (
        {"echo.tolerations": [{"key": "a", "value": "b c"}]},
        "echo.tolerations[0].value is b c; accepted is the value of a",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_a_value_that_cannot_work_is_refused_with_a_sentence(
    try_to_render: Any, values: Mapping[str, Any], sentence: str
) -> None:
    done = try_to_render(values)
    assert done.returncode != 0, done.stdout
    assert sentence in done.stderr
    assert "s3cret" not in done.stderr

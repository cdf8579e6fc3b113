ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends conntrack iptables kmod nftables \
 && rm -rf /var/lib/apt/lists/*
COPY kube-proxy /usr/local/bin/

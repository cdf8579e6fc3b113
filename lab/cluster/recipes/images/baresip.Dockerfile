# A softphone with Opus and G.722, on no node: the tests run it as a process of this machine.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends baresip-core \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
CMD ["baresip"]

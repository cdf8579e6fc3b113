# Three images from one file: docker build --target echo|relay|operator .
# Where the public base can't be pulled, use another Debian one with Python 3.13: --build-arg BASE=IMAGE
# A base of known content is pinned the same way: --build-arg BASE=python:3.13-slim@sha256:DIGEST
ARG BASE=python:3.13-slim

# The init of the three images. As process 1 it ends a program that is stopped before it handles signals: the kernel
# discards a signal to a process 1 without a handler. Linked statically, it handles signals a moment after its start.
FROM ${BASE} AS init
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tini

# Each service has a virtual environment of its own, without the packages of the other services. A builder installs the
# pinned packages first, because they change less often than the code. The images contain no pip and no setuptools.
FROM ${BASE} AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/venv
WORKDIR /src

FROM base AS echo-builder
COPY requirements/echo.txt requirements/echo.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/echo.txt
COPY libs/core libs/core
COPY services/echo services/echo
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation ./libs/core ./services/echo \
 && /opt/venv/bin/pip uninstall --yes setuptools pip

FROM ${BASE} AS echo
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=echo-builder /opt/venv /opt/venv
# All bytecode is compiled at build time, because the root file system is read-only at run time.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 4000/udp 9091/tcp
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_echo"]

FROM base AS relay-builder
COPY requirements/relay.txt requirements/relay.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/relay.txt
COPY libs/core libs/core
COPY services/ari services/ari
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation ./libs/core ./services/ari \
 && /opt/venv/bin/pip uninstall --yes setuptools pip \
 && /opt/venv/bin/python -m rtppool_relay.packets.compile_ahead

FROM ${BASE} AS relay
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=relay-builder /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
# The packet path was compiled above, for any CPU of this architecture. This step fails if the image lacks a part of it.
RUN ["/opt/venv/bin/python", "-m", "rtppool_relay.packets.compile_ahead", "--kept"]
EXPOSE 10000-10100/udp 9090/tcp
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_relay"]

FROM base AS operator-builder
COPY requirements/operator.txt requirements/operator.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/operator.txt
COPY libs/core libs/core
COPY operator operator
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation ./libs/core ./operator \
 && /opt/venv/bin/pip uninstall --yes setuptools pip

FROM ${BASE} AS operator
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=operator-builder /opt/venv /opt/venv
COPY charts/rtp-pool/files/rtppools.yaml /opt/rtp-pool/crds/rtppools.yaml
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_operator"]

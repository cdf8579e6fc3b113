# Four images from one file: docker build --target echo|relay|operator|callgen .
# `skaffold dev` builds echo-dev, relay-dev and operator-dev: the sources as they are, as the last layer.
# Where the public base can't be pulled, use another Debian one with Python 3.13: --build-arg BASE=IMAGE
# The digest names the images of all architectures, as of 2026-09. Dependabot proposes the next one.
ARG BASE=python:3.13-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# The init of the images. As process 1 it ends a program that is stopped before it handles signals: the kernel
# discards a signal to a process 1 without a handler. Linked statically, it handles signals a moment after its start.
FROM ${BASE} AS init
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tini

FROM ${BASE} AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/venv
WORKDIR /src

# The packet processes of relay and echo are Python that becomes machine code: numba compiles it here, for any CPU of this
# architecture. A library needs the C library alone. Its stage depends on the rooms that it is made of, and on no other
# code.
FROM base AS compiler
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends binutils
COPY requirements/packet-path.txt requirements/packet-path.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/packet-path.txt

FROM compiler AS packet-path
COPY libs/core/src/rtppool_core/__init__.py libs/core/src/rtppool_core/units.py rtppool_core/
COPY libs/core/src/rtppool_core/compiled rtppool_core/compiled
COPY libs/core/src/rtppool_core/host rtppool_core/host
COPY libs/core/src/rtppool_core/net rtppool_core/net
COPY libs/core/src/rtppool_core/process rtppool_core/process
COPY libs/core/src/rtppool_core/rtp rtppool_core/rtp
COPY services/ari/src/rtppool_relay/__init__.py rtppool_relay/__init__.py
COPY services/ari/src/rtppool_relay/media rtppool_relay/media
COPY services/ari/src/rtppool_relay/packets rtppool_relay/packets
RUN /opt/venv/bin/python -m rtppool_relay.packets.build_library

FROM compiler AS reflector
COPY libs/core/src/rtppool_core/__init__.py libs/core/src/rtppool_core/units.py rtppool_core/
COPY libs/core/src/rtppool_core/compiled rtppool_core/compiled
COPY libs/core/src/rtppool_core/contract rtppool_core/contract
COPY libs/core/src/rtppool_core/net rtppool_core/net
COPY libs/core/src/rtppool_core/rtp rtppool_core/rtp
COPY services/echo/src/rtppool_echo/__init__.py services/echo/src/rtppool_echo/library_file.py services/echo/src/rtppool_echo/socket_name.py rtppool_echo/
COPY services/echo/src/rtppool_echo/messages rtppool_echo/messages
COPY services/echo/src/rtppool_echo/reflector rtppool_echo/reflector
COPY services/echo/src/rtppool_echo/rules rtppool_echo/rules
COPY services/echo/src/rtppool_echo/workers/__init__.py services/echo/src/rtppool_echo/workers/counters.py rtppool_echo/workers/
RUN /opt/venv/bin/python -m rtppool_echo.reflector.build_library

# For each program:
# - NAME-packages has the pinned packages in a virtual environment of its own, without pip.
# - NAME-runtime is the image without our code: an upgrade, and an edit, replace the last layer alone.
# - NAME-dev has the sources as they are. Python compiles them at each start, because the file system is read-only.

FROM base AS echo-packages
COPY requirements/echo.txt requirements/echo.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/echo.txt \
 && /opt/venv/bin/pip uninstall --yes pip

FROM ${BASE} AS echo-runtime
LABEL org.opencontainers.image.title="rtp-pool echo" \
      org.opencontainers.image.description="Returns each RTP packet to its sender" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=echo-packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 4000/udp 9091/tcp
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_echo"]

FROM echo-runtime AS echo-dev
COPY --from=reflector /src/rtppool_echo/reflector/reflector.so /opt/venv/lib/python3.13/site-packages/rtppool_echo/reflector/
COPY libs/core/src services/echo/src /opt/venv/lib/python3.13/site-packages/

FROM base AS relay-packages
COPY requirements/relay.txt requirements/relay.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/relay.txt \
 && /opt/venv/bin/pip uninstall --yes pip

FROM ${BASE} AS relay-runtime
LABEL org.opencontainers.image.title="rtp-pool relay" \
      org.opencontainers.image.description="Leases a UDP port to each call and measures the latency of its media" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=relay-packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 10000-10100/udp 9090/tcp
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_relay"]

FROM relay-runtime AS relay-dev
COPY --from=packet-path /src/rtppool_relay/packets/packet_path.so /opt/venv/lib/python3.13/site-packages/rtppool_relay/packets/
COPY libs/core/src services/ari/src /opt/venv/lib/python3.13/site-packages/

FROM base AS operator-packages
COPY requirements/operator.txt requirements/operator.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/operator.txt \
 && /opt/venv/bin/pip uninstall --yes pip

FROM ${BASE} AS operator-runtime
LABEL org.opencontainers.image.title="rtp-pool operator" \
      org.opencontainers.image.description="Configures relays from RtpPool objects and publishes their figures" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=operator-packages /opt/venv /opt/venv
COPY charts/rtp-pool/files/rtppools.yaml /opt/rtp-pool/crds/rtppools.yaml
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_operator"]

FROM operator-runtime AS operator-dev
COPY libs/core/src operator/src /opt/venv/lib/python3.13/site-packages/

FROM base AS callgen-packages
COPY requirements/callgen.txt requirements/callgen.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/callgen.txt \
 && /opt/venv/bin/pip uninstall --yes pip

FROM ${BASE} AS callgen-runtime
LABEL org.opencontainers.image.title="rtp-pool call generator" \
      org.opencontainers.image.description="Places synthetic calls and judges the figures of a relay" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=callgen-packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp
# Report and chart are written here, unless --output names another folder.
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m", "rtppool_callgen"]

# The images: our code is installed by pip as packages, with all bytecode.
FROM base AS code
COPY requirements/build.txt requirements/build.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements/build.txt
COPY libs/core libs/core

FROM code AS echo-code
COPY services/echo services/echo
COPY --from=reflector /src/rtppool_echo/reflector/reflector.so services/echo/src/rtppool_echo/reflector/
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --target /opt/code ./libs/core ./services/echo

FROM echo-runtime AS echo
COPY --from=echo-code /opt/code /opt/venv/lib/python3.13/site-packages/
# This step fails if the image lacks the library, or has one that was built from other source.
RUN ["/opt/venv/bin/python", "-c", "import rtppool_echo.reflector.machine_code"]

FROM code AS relay-code
COPY services/ari services/ari
COPY --from=packet-path /src/rtppool_relay/packets/packet_path.so services/ari/src/rtppool_relay/packets/
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --target /opt/code ./libs/core ./services/ari

FROM relay-runtime AS relay
COPY --from=relay-code /opt/code /opt/venv/lib/python3.13/site-packages/
# This step fails if the image lacks the library, or has one that was built from other source.
RUN ["/opt/venv/bin/python", "-c", "import rtppool_relay.packets.machine_code"]

FROM code AS operator-code
COPY operator operator
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --target /opt/code ./libs/core ./operator

FROM operator-runtime AS operator
COPY --from=operator-code /opt/code /opt/venv/lib/python3.13/site-packages/

FROM code AS callgen-code
COPY tools/callgen tools/callgen
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --target /opt/code ./libs/core ./tools/callgen

FROM callgen-runtime AS callgen
COPY --from=callgen-code /opt/code /opt/venv/lib/python3.13/site-packages/

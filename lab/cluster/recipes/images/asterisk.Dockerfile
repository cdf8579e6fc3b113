# Asterisk as Debian builds it. A mirror of sid may serve a release file that is past its date.
ARG BASE=debian:sid-slim
FROM ${BASE}
RUN echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/99date \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends asterisk asterisk-modules \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/asterisk
CMD ["asterisk", "-f"]

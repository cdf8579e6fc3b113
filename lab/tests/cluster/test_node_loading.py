from lab.cluster.kind.node_loading import full_name, loaded_images, outdated, worker_nodes

LISTED = """\
REF                             TYPE          DIGEST      SIZE      PLATFORMS   LABELS
docker.io/rtp-pool/echo:dev     application/x sha256:aaaa 95.2 MiB  linux/amd64 io=x,rtppool.engine-id=sha256:1
docker.io/rtp-pool/relay:dev    application/x sha256:bbbb 95.2 MiB  linux/amd64 rtppool.engine-id=sha256:2
registry.k8s.io/pause:3.10.2    application/x sha256:cccc 300.0 KiB linux/amd64 io.cri.image=managed
"""


def test_the_identity_of_what_was_loaded_is_read_from_containerds_labels() -> None:
    assert loaded_images(LISTED) == {
        "docker.io/rtp-pool/echo:dev": "sha256:1",
        "docker.io/rtp-pool/relay:dev": "sha256:2",
    }
    assert loaded_images("") == {}


def test_only_images_that_are_missing_or_another_are_loaded() -> None:
    wanted = {
        full_name("rtp-pool/echo:dev"): "sha256:1",
        full_name("rtp-pool/relay:dev"): "sha256:9",
        "new": "sha256:3",
    }
    assert outdated(wanted, loaded_images(LISTED)) == ["docker.io/rtp-pool/relay:dev", "new"]
    assert outdated({}, loaded_images(LISTED)) == []


def test_workers_get_images_and_a_control_plane_only_as_the_only_node() -> None:
    roles = {"a-control-plane": "control-plane", "a-worker": "worker", "a-worker2": "worker"}
    assert worker_nodes(roles) == ["a-worker", "a-worker2"]
    assert worker_nodes({"a-control-plane": "control-plane"}) == ["a-control-plane"]

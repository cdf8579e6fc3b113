import pytest

from lab.cluster.host.machine import Machine, first_debian_address, has_capability


def test_a_capability_is_read_from_what_root_may_have_at_most() -> None:
    status = "Name:\tpython\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000001000000\n"
    assert has_capability(status, 24)
    assert not has_capability(status, 23)
    assert not has_capability("Name:\tpython\n", 24)


def test_packages_are_installed_only_by_root_with_apt() -> None:
    assert Machine(is_root=True, has_apt=True, may_raise_limits=True, has_cgroup_v2=True).may_install
    assert not Machine(is_root=False, has_apt=True, may_raise_limits=True, has_cgroup_v2=True).may_install
    assert not Machine(is_root=True, has_apt=False, may_raise_limits=True, has_cgroup_v2=True).may_install


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm", "http://deb.debian.org/debian"),
        ("URIs: http://a.example/debian-security https://a.example/debian/", "https://a.example/debian"),
        ("# deb http://old.example/debian sid main\ndeb http://a.example/debian sid main", "http://a.example/debian"),
        ("deb [signed-by=/k arch=amd64] http://a.example/debian sid main", "http://a.example/debian"),
        ("deb http://a.example/docker bookworm stable", None),
        ("deb-src http://a.example/debian sid main", None),
        ("deb cdrom:[Debian]/debian sid main", None),
        ("", None),
    ],
)
def test_the_main_debian_archive_is_found_in_apts_sources(text: str, address: str | None) -> None:
    assert first_debian_address(text.splitlines()) == address

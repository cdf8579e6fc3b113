from dataclasses import replace
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps
from lab.cluster.host.machine import inspect_machine
from lab.cluster.images.phone_images import phone_recipe
from lab.cluster.images.phone_roots import IMAGES, RECIPE, PhoneRoots


class ImagesWantedError(Exception):
    """Raised instead of a build."""


def wanted() -> None:
    raise ImagesWantedError


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in IMAGES:
        root = tmp_path / "phones" / name
        root.mkdir(parents=True)
        (root / RECIPE).write_text(phone_recipe(name))
    return Places(tmp_path)


def roots(places: Places, *, is_root: bool = True) -> PhoneRoots:
    return PhoneRoots(replace(inspect_machine(), is_root=is_root), places, Steps(places.logs))


def test_roots_of_the_present_recipes_need_no_engine(places: Places) -> None:
    roots(places).up(wanted)


def test_a_root_of_another_recipe_is_made_again(places: Places) -> None:
    (places.phones / "asterisk" / RECIPE).write_text("of last year")
    with pytest.raises(ImagesWantedError):
        roots(places).up(wanted)


def test_whoever_is_not_root_is_told_that_it_takes_root(places: Places) -> None:
    (places.phones / "sipp" / RECIPE).unlink()
    with pytest.raises(LabError, match="needs root"):
        roots(places, is_root=False).up(wanted)

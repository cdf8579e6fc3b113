import pytest

from lab.base.errors import LabError
from lab.faults.calls.rig.asterisk import with_settings


def test_settings_replace_what_a_configuration_file_has() -> None:
    assert with_settings("[general]\nbindport = 8088\n", {"bindport": "9"}) == "[general]\nbindport = 9\n"


def test_a_setting_that_a_configuration_file_has_not_is_an_error() -> None:
    with pytest.raises(LabError, match="rtpstart stands 0 times"):
        with_settings("[general]\n", {"rtpstart": "9"})

from __future__ import annotations

import json
from typing import Any

from rtppool_relay.config import ConfigState, from_environment, next_state
from rtppool_relay.settings import read_settings

SETTINGS = read_settings({"NODE_NAME": "mine", "ECHO_EXTENSION": "true"})


def pools(**spec: Any) -> str:
    entry = {
        "name": "default",
        "namespace": "voice",
        "uid": "u-1",
        "generation": 3,
        "nodes": [{"name": "mine"}],
        "portRange": {"start": 20000, "end": 20009},
        **spec,
    }
    return json.dumps({"version": 1, "pools": [entry]})


def test_without_a_pool_the_environment_decides_on_the_header_extension() -> None:
    assert from_environment(SETTINGS).echo.extension is True


def test_a_pool_overrides_the_environment_of_its_relays() -> None:
    state = ConfigState(from_environment(SETTINGS))
    asked = next_state(state, pools(echo={"host": "127.0.0.1", "port": 4000, "extension": True}), SETTINGS)
    assert asked.config.echo.extension is True
    silent = next_state(asked, pools(echo={"host": "127.0.0.1", "port": 4000}), SETTINGS)
    assert (silent.error, silent.config.echo.extension) == (None, False)


def test_a_text_in_place_of_a_boolean_keeps_the_last_good_configuration() -> None:
    state = ConfigState(from_environment(SETTINGS))
    broken = next_state(state, pools(echo={"extension": "yes"}), SETTINGS)
    assert broken.config is state.config
    assert broken.error == "pools[0].echo.extension: 'yes'; accepted is true or false"


def test_the_capacity_is_the_pools_or_the_environments() -> None:
    alone = from_environment(SETTINGS)
    assert (alone.capacity.calls, alone.capacity.reason) == (101, "the range 10000-10100 has 101 ports")
    limited = next_state(ConfigState(alone), pools(excludedPorts=[20001], maxCalls=9), SETTINGS).config
    assert (limited.capacity.calls, limited.capacity.reason) == (
        9,
        "the range 20000-20009 has 10 ports, 1 of them excluded",
    )


def test_ports_that_the_echo_never_answers_are_no_ports_for_calls() -> None:
    state = next_state(
        ConfigState(from_environment(SETTINGS)),
        pools(portRange={"start": 5000, "end": 5100}, excludedPorts=[5001], echo={"host": "127.0.0.1", "port": 4000}),
        SETTINGS,
    )
    assert state.config.excluded_ports == {5001, 5060}
    assert state.config.capacity.calls == 99
    assert from_environment(read_settings({"PORT_RANGE": "11200-11300"})).excluded_ports == {11211}
    assert from_environment(SETTINGS).excluded_ports == frozenset()

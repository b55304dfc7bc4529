import pytest

from appliance.components import BUILTIN, Components, UnknownComponentError


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in BUILTIN.items() for name in table])
def test_every_named_component_exists_and_has_settings(kind: str, name: str) -> None:
    assert hasattr(Components(kind).load(name), "Config")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownComponentError, match=r"plugins\.ecotest: no such component; did you mean 'echotest'\?"):
        Components("plugins").load("ecotest")
    with pytest.raises(UnknownComponentError, match="known: http, mqtt, rabbitmq, unix, websocket"):
        Components("transports").load("carrier-pigeon")

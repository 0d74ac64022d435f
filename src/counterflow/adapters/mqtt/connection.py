"""One line to the broker: MQTT 5, a session that outlives it, acknowledgements that we give ourselves, a last will."""

import ssl
from collections.abc import Callable
from typing import Any

import aiomqtt
import msgspec
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.topics import STATUS
from counterflow.domain.program_words import StatusWords

QOS = 1
MOST_WAITING_BYTES = 16_777_216
_FIRST_FAILURE = 0x80


class Line(aiomqtt.Client):
    """A client whose messages are acknowledged once they are dealt with: what was not is sent again after a crash."""

    def __init__(self, settings: MqttSettings, password: str | None, version: str) -> None:
        """Raises OSError or ssl.SSLError when a certificate file cannot be used."""
        will = StatusWords(online=False, at=None, version=version)
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username or None,
            password=password,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=_connect_properties(settings),
            keepalive=settings.keep_alive_s,
            timeout=settings.timeout_s,
            tls_context=_tls(settings) if settings.tls else None,
            will=aiomqtt.Will(f"{settings.prefix}/{STATUS}", msgspec.json.encode(will), qos=QOS, retain=True),
            max_inflight_messages=settings.receive_maximum,
        )
        self._client.manual_ack_set(True)
        self._client.connect_timeout = settings.timeout_s
        self.pending_calls_threshold = 1_000
        self.dropped = 0
        """Messages without acknowledgement (QoS 0) that there was no room for."""
        self.trouble = ""
        """What is known to be wrong with the line; it tells more than the errors that follow."""
        self._waiting_bytes = 0
        self._most_waiting = 10 * settings.receive_maximum

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """It is dealt with: the broker needs not keep it any longer."""
        self._waiting_bytes -= len(message.payload)
        if message.qos > 0:
            self._client.ack(message.mid, message.qos)

    async def hear(self, topic: str, *, kept: bool) -> str | None:
        """Subscribe; `kept`: also to what was said before, or while we are away. Returns why the broker will not have it."""
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if kept else SubscribeOptions.RETAIN_DO_NOT_SEND
        options = SubscribeOptions(qos=QOS if kept else 0, retainHandling=handling)
        (code, *_) = await self.subscribe(topic, options=options)
        refused = isinstance(code, int) or code.value >= _FIRST_FAILURE
        return f"{code}" if refused else None

    async def say(self, topic: str, words: object, *, retain: bool = False) -> int:
        """Publish, and wait for the broker's acknowledgement; the size. Raises MqttError."""
        payload = msgspec.json.encode(words)
        await self.publish(topic, payload, qos=QOS, retain=retain)
        if self.trouble:
            raise aiomqtt.MqttError(self.trouble)
        return len(payload)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        # Brokers are known that send more than the receive maximum; what is not acknowledged comes again on the next line.
        if message.qos == 0 and len(self.messages) >= self._most_waiting:
            self.dropped += 1
            return
        self._waiting_bytes += len(message.payload)
        if self._waiting_bytes > MOST_WAITING_BYTES and not self._disconnected.done():
            self.trouble = "the broker sends more than can be held; what is left comes again"
            self._disconnected.set_exception(aiomqtt.MqttError(self.trouble))
            return
        super()._on_message(client, userdata, message)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties) -> None:
        # The library takes an acknowledgement that says no for a yes.
        if reason_code.is_failure:
            self.trouble = f"the broker does not take what we publish: {reason_code}"
        super()._on_publish(client, userdata, mid, reason_code, properties)


Connect = Callable[[], Line]


def why(error: BaseException) -> str:
    """What went wrong on a line, without what might be secret."""
    return (str(error) or type(error).__name__).strip().rstrip(".")


def _connect_properties(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.receive_maximum
    properties.MaximumPacketSize = settings.max_message_bytes
    return properties


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key or None)
    return context

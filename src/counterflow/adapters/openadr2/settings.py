"""What can be set about the OpenADR 2.0b VEN."""

from typing import Annotated

from msgspec import Meta, Struct

LEVELS = 4


class OpenAdr2Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One VTN. Its programs are the [[programs]] with wire = "openadr2"; `external_id` is the market context."""

    vtn_url: Annotated[
        str,
        Meta(
            description="The VTN up to the name of its services, such as https://vtn.example/OpenADR2/Simple/2.0b.",
            extra={"unit": "-"},
            pattern="^https?://",
        ),
    ]
    ven_name: Annotated[str, Meta(description="Name under which it is registered.", extra={"unit": "-"}, min_length=1, max_length=128)]
    ven_id: Annotated[
        str, Meta(description="venID, if the operator has given one; empty = the VTN gives one, which is kept.", extra={"unit": "-"})
    ] = ""
    certificate: Annotated[
        str, Meta(description="PEM file of the client certificate that the operator has admitted.", extra={"unit": "-"})
    ] = ""
    key: Annotated[str, Meta(description="PEM file of its private key, without a passphrase.", extra={"unit": "-"})] = ""
    authority: Annotated[str, Meta(description="PEM file of the authority of the VTN's certificate.", extra={"unit": "-"})] = ""
    sign: Annotated[bool, Meta(description="Sign messages (XML signatures), as VTNs of high security ask.", extra={"unit": "-"})] = False
    vtn_fingerprint: Annotated[
        str,
        Meta(description="Fingerprint of the certificate with which the VTN signs; empty = they are not checked.", extra={"unit": "-"}),
    ] = ""
    plain_http_beyond_this_host: Annotated[
        bool, Meta(description="Speak http:// to a VTN on another host, where nobody else can listen in.", extra={"unit": "-"})
    ] = False
    simple_discharge_frac: Annotated[
        tuple[Annotated[float, Meta(ge=0.0, le=1.0)], ...],
        Meta(
            description="What SIMPLE levels 0 to 3 mean, as shares of the program's max_discharge_power_w; empty = they are refused.",
            extra={"unit": "0..1"},
        ),
    ] = ()
    sampling_min_s: Annotated[float, Meta(description="Finest reports that are offered.", extra={"unit": "s"}, ge=1)] = 2.0
    sampling_max_s: Annotated[float, Meta(description="Coarsest reports that are offered.", extra={"unit": "s"}, ge=1)] = 900.0
    resync_s: Annotated[
        float, Meta(description="So often all events are asked for: one that is gone then was taken back.", extra={"unit": "s"}, gt=0)
    ] = 300.0
    lost_after_s: Annotated[
        float, Meta(description="A VTN that has not answered for so long raises an alarm; its orders go on.", extra={"unit": "s"}, gt=0)
    ] = 60.0
    retry_s: Annotated[float, Meta(description="Wait before it registers again after a failure.", extra={"unit": "s"}, gt=0)] = 15.0

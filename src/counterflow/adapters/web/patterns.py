"""What texts in requests may look like; `problems` has a sentence for each."""

STATION_ID_PATTERN = r"^[A-Za-z0-9*\-_=:+|@.]{1,48}$"
ACTION_PATTERN = r"^[A-Za-z0-9]{1,64}$"
KEY_PATTERN = r"^[\x21-\x7e]+$"
ORDER_KEY_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
SERIAL_PATTERN = r"^0{0,2}([1-7][0-9A-Fa-f]{39}|[1-9A-Fa-f][0-9A-Fa-f]{0,38})$"

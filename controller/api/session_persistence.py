"""Session persistence of a rule (GEP-1619, experimental channel of 1.6): requests of one session go to one endpoint."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from controller.api.base import Model, refusal, text
from controller.api.durations import Duration


class CookieConfig(Model):
    """Whether the cookie lasts as long as the browser's session, or as long as absoluteTimeout."""

    lifetime_type: Literal["Session", "Permanent"] = "Session"


class SessionPersistence(Model):
    """How a session is recognised and how long it lasts, in milliseconds."""

    session_name: Annotated[str, text(longest=128)] | None = None
    absolute_timeout: Duration | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None

    @model_validator(mode="after")
    def _fields_fit_type(self) -> Self:
        if self.type == "Header" and self.cookie_config is not None:
            raise refusal("cookieConfig", "type Header has no cookieConfig", "Remove cookieConfig, or set type Cookie.")
        if self.cookie_config is not None and self.cookie_config.lifetime_type == "Permanent" and self.absolute_timeout is None:
            raise refusal("absoluteTimeout", "lifetimeType Permanent needs absoluteTimeout", 'Add absoluteTimeout, for example "1h".')
        return self

"""Every way in which a caller may name a function, as the Invoke API takes them.

==================================================  ======================
``orders``, ``orders:live``                          name, with a qualifier
``123456789012:function:orders[:live]``              partial ARN
``arn:aws:lambda:REGION:ACCOUNT:function:orders[:…]``  ARN
==================================================  ======================

AWS Lambda API reference, "Invoke", ``FunctionName``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_FORM = re.compile(
    r"""(?:(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?
           (?:(?P<account>\d{12}):)?function:)?
        (?P<name>[a-zA-Z0-9-_]{1,64})
        (?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]{1,128}))?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function as a caller named it.

    Attributes:
        name: the name alone.
        qualifier: version or alias; empty when none was given.
        region: from an ARN, else empty.
        account: 12 digits, else empty.
    """

    name: str
    qualifier: str = ""
    region: str = ""
    account: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Takes a name apart.

        Raises:
            ValueError: it has none of the forms.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no function name and no ARN of one")
        parts = found.groupdict(default="")
        return cls(parts["name"], parts["qualifier"], parts["region"], parts["account"])

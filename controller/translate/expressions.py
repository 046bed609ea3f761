"""Regular expressions of routes, proved to be ones that RE2 takes.

As in the proxies an expression of ASCII characters works on bytes, any other on UTF-8: paths, fields and queries have no
character set of their own.
"""

from __future__ import annotations

import re2

LONGEST_EXPRESSION = 1024


def _options(encoding: re2.Options.Encoding) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.encoding = encoding
    return options


_BYTES = _options(re2.Options.Encoding.LATIN1)
_UTF8 = _options(re2.Options.Encoding.UTF8)


def expression_fault(expression: str) -> str:
    """Why proxies would refuse an expression, "" if they would not."""
    if len(expression) > LONGEST_EXPRESSION:
        return f"the regular expression has {len(expression)} characters, at most {LONGEST_EXPRESSION} are allowed"
    try:
        re2.compile(expression.encode(), _BYTES if expression.isascii() else _UTF8)
    except UnicodeEncodeError:
        return f"the regular expression {expression!r} is no text"
    except re2.error as error:
        words = error.args[0]
        return f"RE2 refuses {expression!r}: {words.decode(errors='replace') if isinstance(words, bytes) else words}"
    return ""

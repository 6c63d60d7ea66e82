"""Pages for a browser, served by klein: installed with the extra ``txsmtpconn[web]``.

What every page needs is here (`guard`, `service`, `stream`); `web.sink` is the sink's page.
"""

from __future__ import annotations

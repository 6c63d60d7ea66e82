"""Next hops: which host takes a domain's mail, and how the connection to it is secured.

`SMTPTransport.to_mx` puts it together; what is here are the parts that a program may want to hold.
"""

from __future__ import annotations

from txsmtpconn.transport.nexthop.hop import NextHop, Road
from txsmtpconn.transport.nexthop.mtasts import MTASTS
from txsmtpconn.transport.nexthop.options import MXOptions
from txsmtpconn.transport.nexthop.policy import Level, PolicyTable, TLSPolicy
from txsmtpconn.transport.nexthop.records import MX, SRV, TLSA, Answer, RecordType, Resolver
from txsmtpconn.transport.nexthop.reporting import Failed, PolicyApplied, PolicyType, TLSReports
from txsmtpconn.transport.nexthop.sts import Mode, STSPolicy
from txsmtpconn.transport.nexthop.stub import StubResolver

__all__ = [
    "MTASTS",
    "MX",
    "SRV",
    "TLSA",
    "Answer",
    "Failed",
    "Level",
    "MXOptions",
    "Mode",
    "NextHop",
    "PolicyApplied",
    "PolicyTable",
    "PolicyType",
    "RecordType",
    "Resolver",
    "Road",
    "STSPolicy",
    "StubResolver",
    "TLSPolicy",
    "TLSReports",
]

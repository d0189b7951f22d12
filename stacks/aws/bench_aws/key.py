"""The key that hosts let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

if TYPE_CHECKING:
    from benchctl.provision.request import Request


class Key(pulumi.ComponentResource):
    """The run's own public key at EC2; the private one never leaves the controller."""

    def __init__(self, name: str, request: Request, opts: pulumi.ResourceOptions) -> None:
        """Register the public key of the request."""
        super().__init__("bench:aws:Key", name, None, opts)
        pair = aws.ec2.KeyPair(
            name,
            key_name=f"benchctl-{request.run}",
            public_key=request.public_key,
            tags=request.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_name = pair.key_name
        self.register_outputs({})

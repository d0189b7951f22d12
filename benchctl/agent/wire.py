"""The form of all that goes between controller and agent, and of all that the agent stores."""

from typing import Any, Dict

Json = Dict[str, Any]
